"""Finds, reads and checks catalogue entries."""
