"""`python -m llmplan`."""

from llmplan.program import run

run()
