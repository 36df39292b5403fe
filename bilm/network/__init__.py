"""The network, in Paddle: layers, biLM, losses and ELMo; it knows no files."""
