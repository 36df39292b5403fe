"""The biLM and ELMo in PyTorch, and their export to ONNX; the public names need PyTorch."""

from bilm.lazy_names import lazy_names

_HOME_OF = {
    "TorchBiLM": "bilm.torch.model",
    "TorchELMo": "bilm.torch.model",
    "TorchState": "bilm.torch.model",
    "export_onnx": "bilm.torch.onnx",
}
__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
