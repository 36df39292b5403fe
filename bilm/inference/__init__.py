"""What a trained biLM is for: vectors, perplexity, scores and generated text."""
