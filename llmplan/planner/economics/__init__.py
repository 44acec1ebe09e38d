"""What a whole run takes: time, money, energy, storage, interruptions."""
