"""Answers as tables for people and as JSON for programs; the only place that knows rich."""
