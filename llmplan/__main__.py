"""`python -m llmplan`."""

from llmplan.cli.main import run

run()
