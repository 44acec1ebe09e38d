"""What a software stack makes of the hardware: recipes, engines, versions, fitted coefficients and their bands."""
