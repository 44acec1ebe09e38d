"""Money, energy, carbon, storage and reliability of a run or a deployment."""
