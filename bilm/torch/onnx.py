"""The biLM as an ONNX file, for runtimes without Python; needs the extra [onnx]."""

import torch
from torch import nn

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.torch.model import TorchBiLM


def export_onnx(bilm: TorchBiLM, path: PathLike) -> None:
    """Write an ONNX file that computes the layers of `bilm` from a zero state.

    Inputs: token_ids, int64, (batch, steps), or (batch, steps, characters); lengths, int64,
    (batch,). Output: layers, float32, (num_layers + 1, batch, steps, directions * projection),
    not defined beyond a row's length. Batch and steps, each at least 1, are free.

    Args:
        bilm: The model.
        path: The file to write.

    Raises:
        InputError: The exporter's packages are not installed.
    """
    try:
        import onnxscript  # noqa: F401  (PyTorch's exporter needs it)
    except ImportError:
        raise InputError("ONNX needs the extra [onnx]: pip install onnx onnxscript") from None
    # sizes unlike any in the model, so that the exporter takes none of them for a constant
    batch, steps = 3, 7
    tail = () if bilm.config.char_cnn is None else (bilm.config.max_characters,)
    token_ids = torch.zeros(batch, steps, *tail, dtype=torch.int64)
    lengths = torch.full((batch,), steps)
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        _Layers(bilm).eval(),
        (token_ids, lengths),
        str(path),
        dynamo=True,
        dynamic_shapes=({0: free, 1: free}, {0: free}),
        input_names=["token_ids", "lengths"],
        output_names=["layers"],
        external_data=False,
        verbose=False,
    )


class _Layers(nn.Module):
    """The layers of `TorchBiLM.forward`, by a scan, in which the number of steps stays free."""

    def __init__(self, bilm: TorchBiLM):
        super().__init__()
        self.bilm = bilm

    def forward(self, token_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.bilm(token_ids, lengths, scan=_scan)[0]


def _scan(step, state, items):
    def step_without_aliases(state, item):
        state, output = step(state, item)
        return state, output.clone()

    return torch._higher_order_ops.scan(step_without_aliases, state, items)
