"""The biLM as an ONNX file, for runtimes without Python; needs the extra [onnx]."""

from typing import Optional

import torch
from torch import nn

from bilm.errors import InputError
from bilm.torch.model import TorchBiLM, reverse_rows


def export_onnx(bilm: TorchBiLM, path) -> None:
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
    """`TorchBiLM.forward` with a scan instead of a Python loop, so that steps stay free."""

    def __init__(self, bilm: TorchBiLM):
        super().__init__()
        self.bilm = bilm

    def forward(self, token_ids: torch.Tensor, lengths: Optional[torch.Tensor]) -> torch.Tensor:
        embedded, config = self.bilm.embed(token_ids), self.bilm.config
        halves = []
        for direction in ("forward", "backward")[: config.num_directions]:
            is_backward = direction == "backward"
            layers = [reverse_rows(embedded, lengths) if is_backward else embedded]
            for number in range(config.num_layers):
                outputs = _scan(getattr(self.bilm, f"{direction}_layer_{number}"), layers[-1])
                skip = config.use_skip_connections and number > 0
                layers.append(outputs + layers[-1] if skip else outputs)
            if is_backward:
                layers = [reverse_rows(values, lengths) for values in layers]
            halves.append(torch.stack(layers))
        return torch.cat(halves, dim=-1)


def _scan(lstm, inputs):
    gate_inputs = lstm.input_linearity(inputs).transpose(0, 1)  # (steps, batch, 4 * cell)
    batch, size = gate_inputs.shape[1], lstm.state_projection.out_features
    state = inputs.new_zeros(batch, size), inputs.new_zeros(batch, lstm.cell_size)

    def step(state, gates):
        hidden, cell = lstm.step(gates, *state)
        return (hidden, cell), hidden.clone()

    _, outputs = torch._higher_order_ops.scan(step, state, gate_inputs)
    return outputs.transpose(0, 1)
