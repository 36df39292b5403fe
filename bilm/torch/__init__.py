"""The biLM and ELMo in PyTorch, and their export to ONNX."""
