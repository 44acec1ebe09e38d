"""Every figure walked down to formulas, numbers and sources."""
