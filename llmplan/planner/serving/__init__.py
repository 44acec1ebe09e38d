"""What a deployment holds and how fast it answers."""
