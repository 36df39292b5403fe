"""Learning curves and other pictures."""
