"""A model as the formulas see it, and the ways in which one is described."""
