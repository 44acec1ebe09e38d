"""The best layouts out of all of them."""
