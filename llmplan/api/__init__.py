"""What `from llmplan import ...` gives: functions that take plans as Python has them, and how answers are shown."""
