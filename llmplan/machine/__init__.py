"""What devices, links and buildings are, and what kernels and collectives reach on them."""
