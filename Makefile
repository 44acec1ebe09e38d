.PHONY: check test lint types docs pages bench fuzz mutants accuracy

PYTHON ?= python

check: lint types test

test:
	$(PYTHON) -m pytest

lint:
	ruff check .
	ruff format --check .

types:
	mypy

docs:
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet --strict -f .ci/mkdocs.yml

pages:
	$(PYTHON) -m llmplan schema --write docs/schemas
	$(PYTHON) -m llmplan.calibration pages
	$(PYTHON) benchmarks/practice.py
	LLMPLAN_UPDATE_DOCS=1 $(PYTHON) -m pytest tests/docs

accuracy:
	$(PYTHON) -m llmplan.calibration accuracy

bench:
	$(PYTHON) benchmarks/startup.py
	$(PYTHON) benchmarks/search.py
	$(PYTHON) benchmarks/bulk.py

fuzz:
	$(PYTHON) -m tests.fuzz --n 20000 --seed 11 --jobs 2

mutants:
	$(PYTHON) tests/mutants.py
