"""The version, read by the build and by `llmplan --version`."""

__version__ = "0.1.0"
