"""Training of a tagger, from its options to the course of a run."""
