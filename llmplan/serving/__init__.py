"""Serving: plan, engine iteration, loads, estimate."""
