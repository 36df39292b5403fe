"""The biLM and ELMo in PyTorch, for checkpoints that moved there; needs PyTorch only.

Parameters have AllenNLP's names (`bilm.storage.formats.torch_state`), so that a state_dict is what
`convert --to torch` writes.
"""

from typing import Any, Callable, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.storage.formats.tables import to_format
from bilm.storage.formats.torch_state import table
from bilm.storage.pretrained import open_model, read_mixes
from bilm.storage.stored_model import StoredModel
from bilm.text.characters import NUM_CHARACTERS, character_ids
from bilm.text.vocabulary import BOS, EOS


class TorchState(NamedTuple):
    """What goes from one window to the next.

    Attributes:
        hidden: Shape (directions, layers, batch, projection).
        cell: Shape (directions, layers, batch, cell).
    """

    hidden: torch.Tensor
    cell: torch.Tensor


Scan = Callable[..., Tuple[Any, torch.Tensor]]


def loop(step: Callable, state: Any, items: Tuple[torch.Tensor, ...]) -> Tuple[Any, torch.Tensor]:
    """Return the state after all steps, and the outputs of the steps, one row each.

    Args:
        step: (state, (a row of each item)) -> (the next state, output).
        state: Before the first step.
        items: Tensors with a row for each step.
    """
    outputs = []
    for item in zip(*items):
        state, output = step(state, item)
        outputs.append(output)
    return state, torch.stack(outputs)


class TorchProjectedLSTM(nn.Module):
    """An LSTM layer with projection and clips; see `bilm.network.lstm.ProjectedLSTM`.

        i, f, c~, o = split(x_t W_in + h_{t-1} W_state + b)
        c_t = clip(sig(f) * c_{t-1} + sig(i) * tanh(c~)),  h_t = clip((sig(o) * tanh(c_t)) W_proj)

    No gradient flows through a clipped value.

    Args:
        config: Of which sizes and clips are read.
    """

    def __init__(self, config: BiLMConfig):
        super().__init__()
        size, self.cell_size = config.projection_size, config.cell_size
        self.cell_clip, self.projection_clip = config.cell_clip, config.projection_clip
        self.input_linearity = nn.Linear(size, 4 * self.cell_size, bias=False)
        self.state_linearity = nn.Linear(size, 4 * self.cell_size)
        self.state_projection = nn.Linear(self.cell_size, size, bias=False)

    def forward(
        self,
        inputs: torch.Tensor,
        hidden: torch.Tensor,
        cell: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        scan: Scan = loop,
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return outputs (batch, steps, projection), and hidden and cell after the last step.

        Args:
            inputs: Shape (batch, steps, projection).
            hidden: Shape (batch, projection).
            cell: Shape (batch, cell).
            lengths: Shape (batch,); the state stays as it was after a row's last step.
            scan: What takes the steps: see `loop`.
        """
        gate_inputs = self.input_linearity(inputs).transpose(0, 1)  # (steps, batch, 4 * cell)
        numbers = torch.arange(inputs.shape[1], device=inputs.device)

        def step(state, item):
            gates, number = item
            hidden, cell = self.step(gates, *state)
            output = hidden
            if lengths is not None:
                running = (lengths > number).unsqueeze(-1)
                hidden, cell = (
                    torch.where(running, new, old) for new, old in zip((hidden, cell), state)
                )
            return (hidden, cell), output

        (hidden, cell), outputs = scan(step, (hidden, cell), (gate_inputs, numbers))
        return outputs.transpose(0, 1), hidden, cell

    def step(
        self, gate_inputs: torch.Tensor, hidden: torch.Tensor, cell: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return hidden (batch, projection) and cell (batch, cell) one step later.

        Args:
            gate_inputs: The inputs' part of the gates, shape (batch, 4 * cell), order ifco.
            hidden: Shape (batch, projection).
            cell: Shape (batch, cell).
        """
        gates = gate_inputs + self.state_linearity(hidden)
        i, f, c, o = gates.split(self.cell_size, dim=-1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(c)
        cell = _clip(cell, self.cell_clip)
        hidden = self.state_projection(torch.sigmoid(o) * torch.tanh(cell))
        return _clip(hidden, self.projection_clip), cell


def _clip(values: torch.Tensor, limit: float) -> torch.Tensor:
    return values.clamp(-limit, limit) if limit else values


class TorchCharacterEncoder(nn.Module):
    """Word vectors from character ids; see `bilm.network.character_encoder.CharacterEncoder`.

    Args:
        options: `BiLMConfig.char_cnn`.
        projection_size: Features of a word vector.
    """

    def __init__(self, options: dict, projection_size: int):
        super().__init__()
        size = options["embedding"]["dim"]
        self._filters = [tuple(pair) for pair in options["filters"]]
        self._activation = torch.tanh if options.get("activation") == "tanh" else torch.relu
        self._num_highway = options.get("n_highway") or 0
        total = sum(number for _, number in self._filters)
        self.embedding = nn.Embedding(NUM_CHARACTERS, size, padding_idx=0)
        for k, (width, number) in enumerate(self._filters):
            self._add(f"filter_{k}", width * size, number)
        for k in range(self._num_highway):
            self._add(f"highway_{k}_transform", total, total)
            self._add(f"highway_{k}_carry", total, total)
        self._has_projection = total != projection_size
        if self._has_projection:
            self._add("projection", total, projection_size)

    def _add(self, name, rows, columns):
        scale = rows**-0.5
        weight = nn.Parameter(torch.empty(rows, columns).uniform_(-scale, scale))
        self.register_parameter(f"{name}_weight", weight)
        self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(columns)))

    def _linear(self, name, values):
        return values @ getattr(self, f"{name}_weight") + getattr(self, f"{name}_bias")

    def forward(self, character_ids: torch.Tensor) -> torch.Tensor:
        """Return vectors (batch, steps, projection) of ids (batch, steps, characters)."""
        mask = (character_ids > 0).unsqueeze(-1)
        characters = self.embedding(character_ids) * mask  # (batch, steps, places, size)
        features = []
        for k, (width, _) in enumerate(self._filters):
            places = characters.shape[2] - width + 1
            parts = [characters[:, :, first : first + places] for first in range(width)]
            matches = torch.cat(parts, dim=-1) @ getattr(self, f"filter_{k}_weight")
            best = matches.amax(dim=2) + getattr(self, f"filter_{k}_bias")
            features.append(self._activation(best))
        vectors = torch.cat(features, dim=-1)
        for k in range(self._num_highway):
            share = torch.sigmoid(self._linear(f"highway_{k}_carry", vectors))
            transformed = torch.relu(self._linear(f"highway_{k}_transform", vectors))
            vectors = share * transformed + (1 - share) * vectors
        return self._linear("projection", vectors) if self._has_projection else vectors


class TorchSoftmax(nn.Module):
    """Weight (vocabulary, projection) and bias (vocabulary,) that predict words.

    Args:
        config: Of which the two sizes are read.
    """

    def __init__(self, config: BiLMConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.vocab_size, config.projection_size))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))


class TorchBiLM(nn.Module):
    """The biLM in PyTorch; it computes what `bilm.BiLM` does, without dropout.

    Args:
        config: Sizes and switches.
        has_softmax: Whether there is a softmax.
    """

    def __init__(self, config: BiLMConfig, has_softmax: bool = True):
        super().__init__()
        self.config = config
        if config.char_cnn is None:
            self.embedding = nn.Embedding(config.vocab_size, config.projection_size)
        else:
            self.character_encoder = TorchCharacterEncoder(config.char_cnn, config.projection_size)
        self._directions = ("forward", "backward")[: config.num_directions]
        for direction in self._directions:
            for layer in range(config.num_layers):
                setattr(self, f"{direction}_layer_{layer}", TorchProjectedLSTM(config))
        if has_softmax:
            self.softmax = TorchSoftmax(config)
            if config.bidirectional and not config.share_softmax:
                self.backward_softmax = TorchSoftmax(config)

    @classmethod
    def from_pretrained(
        cls, path: PathLike, vocab_path: Optional[PathLike] = None
    ) -> "TorchBiLM":
        """Return the biLM at `path`, in any format that `bilm.storage.formats` knows, in eval mode.

        Raises:
            InputError: There is no biLM at `path`, or it is incomplete or damaged.
        """
        return cls.from_stored(open_model(path, vocab_path=vocab_path, moments=False))

    @classmethod
    def from_stored(cls, model: StoredModel) -> "TorchBiLM":
        """Return a stored model, in eval mode."""
        bilm = cls(model.config, model.has_softmax)
        arrays = to_format(table(model.config), model.tensors)
        state = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in arrays}
        bilm.load_state_dict(state)  # strict: all names, all shapes
        return bilm.eval()

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Return word vectors (batch, steps, projection)."""
        if self.config.char_cnn is not None:
            return self.character_encoder(token_ids)
        return self.embedding(token_ids)

    def forward(
        self,
        token_ids: torch.Tensor,
        lengths: Optional[torch.Tensor] = None,
        state: Optional[TorchState] = None,
        scan: Scan = loop,
    ) -> Tuple[torch.Tensor, TorchState]:
        """Return all layers of both directions, in text order, and the new state.

        Args:
            token_ids: Shape (batch, steps), or (batch, steps, characters).
            lengths: Tokens in each row, shape (batch,); None: all rows are full. Values
                beyond are not defined.
            state: What an earlier call returned; None: zeros.
            scan: What takes the steps of an LSTM: see `loop`.

        Returns:
            Layers (num_layers + 1, batch, steps, directions * projection), and the state.
        """
        embedded = self.embed(token_ids)
        halves, hiddens, cells = [], [], []
        for number, direction in enumerate(self._directions):
            is_backward = direction == "backward"
            layers = [reverse_rows(embedded, lengths) if is_backward else embedded]
            for layer in range(self.config.num_layers):
                lstm = getattr(self, f"{direction}_layer_{layer}")
                hidden, cell = self._state_of(embedded, state, number, layer)
                outputs, hidden, cell = lstm(layers[-1], hidden, cell, lengths, scan)
                skip = self.config.use_skip_connections and layer > 0
                layers.append(outputs + layers[-1] if skip else outputs)
                hiddens.append(hidden)
                cells.append(cell)
            if is_backward:
                layers = [reverse_rows(values, lengths) for values in layers]
            halves.append(torch.stack(layers))
        shape = (len(self._directions), self.config.num_layers, embedded.shape[0], -1)
        new_state = TorchState(*(torch.stack(parts).view(shape) for parts in (hiddens, cells)))
        return torch.cat(halves, dim=-1), new_state

    def _state_of(self, embedded, state, direction, layer):
        if state is not None:
            return state.hidden[direction, layer], state.cell[direction, layer]
        sizes = self.config.projection_size, self.config.cell_size
        return tuple(embedded.new_zeros(embedded.shape[0], size) for size in sizes)


def reverse_rows(values: torch.Tensor, lengths: Optional[torch.Tensor] = None) -> torch.Tensor:
    """Return rows (batch, steps, features) with their first `lengths` steps in reverse order."""
    if lengths is None:
        return values.flip(1)
    steps = torch.arange(values.shape[1], device=values.device)
    lengths = lengths.unsqueeze(1)
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return values.gather(1, source.unsqueeze(-1).expand_as(values))


class TorchELMo(nn.Module):
    """Contextual word vectors: what `bilm.ELMo` gives in variant "elmo".

    Args:
        bilm: The biLM.
        num_mixes: Number of mixes.
        dropout: Probability on each mix while training.
        layer_norm: Normalise each layer over the values of a sentence before it is mixed.
        trainable: Whether the biLM is fine-tuned.
    """

    def __init__(
        self,
        bilm: TorchBiLM,
        num_mixes: int = 1,
        dropout: float = 0.5,
        layer_norm: bool = False,
        trainable: bool = False,
    ):
        super().__init__()
        self.bilm = bilm.requires_grad_(trainable)
        self.dropout, self.layer_norm = dropout, layer_norm
        self.weights = nn.Parameter(torch.zeros(num_mixes, bilm.config.num_layers + 1))
        self.gammas = nn.Parameter(torch.ones(num_mixes))

    def forward(
        self, token_ids: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> List[torch.Tensor]:
        """Return num_mixes tensors (batch, steps, directions * projection), zero beyond a row.

        Args:
            token_ids: Without `<S>` and `</S>`.
            lengths: Shape (batch,); None: all rows are full.
        """
        if lengths is None:
            lengths = torch.full(token_ids.shape[:1], token_ids.shape[1], device=token_ids.device)
        layers, _ = self.bilm(*self._with_borders(token_ids, lengths))
        steps = torch.arange(token_ids.shape[1], device=token_ids.device)
        mask = (steps < lengths.unsqueeze(1)).unsqueeze(-1).to(layers.dtype)
        layers = layers[:, :, 1:-1] * mask
        if self.layer_norm:
            layers = _normalise(layers, mask)
        shares = torch.softmax(self.weights, dim=-1) * self.gammas.unsqueeze(-1)
        return [
            F.dropout(torch.einsum("l,lbtf->btf", share, layers), self.dropout, self.training)
            for share in shares
        ]

    def _with_borders(self, token_ids, lengths):
        config = self.bilm.config
        borders = torch.tensor([config.bos_id, config.eos_id], device=token_ids.device)
        if config.char_cnn is not None:
            rows = character_ids([BOS, EOS], token_ids.shape[2])
            borders = torch.from_numpy(rows).to(token_ids.device)
        before, after = (
            border.expand(token_ids.shape[0], 1, *token_ids.shape[2:]) for border in borders
        )
        joined = torch.cat([before, token_ids, after], dim=1)
        inside = torch.arange(joined.shape[1], device=token_ids.device) <= lengths.unsqueeze(1)
        if token_ids.dim() == 3:
            inside = inside.unsqueeze(-1)
        return torch.where(inside, joined, after), lengths + 2

    def load_mixes(self, folder: PathLike) -> None:
        """Set the mixes to those that `bilm.ELMo.save_mixes` wrote.

        Raises:
            InputError: There are none, or the file is damaged.
            ValueError: They belong to another kind of ELMo.
        """
        mixes = read_mixes(folder)
        shape = (len(mixes.parameters), len(mixes.parameters[0][0]))
        if mixes.variant != "elmo" or mixes.layer_norm != self.layer_norm or (
            shape != tuple(self.weights.shape)
        ):
            raise ValueError(
                f"{folder}: mixes of variant {mixes.variant}, layer_norm {mixes.layer_norm}, shape "
                f"{shape}; expected elmo, {self.layer_norm}, {tuple(self.weights.shape)}"
            )
        with torch.no_grad():
            for number, (weights, gamma) in enumerate(mixes.parameters):
                self.weights[number] = torch.from_numpy(weights)
                self.gammas[number] = float(gamma[0])


def _normalise(layers, mask):
    count = (mask.sum(dim=(1, 2)) * layers.shape[-1]).clamp(min=1.0).view(-1, 1, 1)
    mean = layers.sum(dim=(2, 3)).unsqueeze(-1).unsqueeze(-1) / count
    centred = (layers - mean) * mask
    variance = (centred * centred).sum(dim=(2, 3)).unsqueeze(-1).unsqueeze(-1) / count
    return centred / torch.sqrt(variance + 1e-12)
