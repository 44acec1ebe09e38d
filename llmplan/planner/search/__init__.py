"""The best layout out of all of them."""
