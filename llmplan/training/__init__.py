"""Training: plan, schedule, estimate."""
