"""Uses of a trained biLM: vectors, perplexity, scores and generated text."""
