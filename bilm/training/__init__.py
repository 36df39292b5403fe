"""Training of a biLM, from its options to the course of a run."""
