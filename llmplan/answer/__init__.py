"""What is derived from an estimate: bottleneck, economics, limits, explanation, validation."""
