"""The vocabulary of a plan, and what is common to plans of training and of serving."""
