"""Composes formulas into answers; knows plans, knows nothing of the screen."""
