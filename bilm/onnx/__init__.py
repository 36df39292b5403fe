"""ONNX graphs, node by node, and ELMo as one; needs the package onnx, not PyTorch."""
