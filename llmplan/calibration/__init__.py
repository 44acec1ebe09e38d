"""Fits the catalogue's numbers on measurements, and stacks on a user's own runs; no estimate imports it."""
