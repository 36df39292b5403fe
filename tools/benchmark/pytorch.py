"""What is measured of PyTorch: the usual way to write the same model and its training."""

from itertools import cycle

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.sizes import batch_shape, sizes_of
from bilm.network.config import BiLMConfig
from bilm.network.log_uniform_sampler import LogUniformSampler
from bilm.torch.model import TorchBiLM, TorchProjectedLSTM

DROPOUT = 0.1


class BuiltInLSTM(nn.Module):
    """`torch.nn.LSTM` with a projection, which cannot clip, in the place of our cell."""

    def __init__(self, config):
        super().__init__()
        size = config.projection_size
        self.lstm = nn.LSTM(size, config.cell_size, proj_size=size, batch_first=True)

    def forward(self, inputs, hidden, cell, lengths=None, scan=None):
        """Return what `TorchProjectedLSTM.forward` does."""
        outputs, (hidden, cell) = self.lstm(inputs, (hidden[None], cell[None]))
        return outputs, hidden[0], cell[0]


def prepare(task, config, folder, threads, system):
    """Return a function that does a piece of work and returns its amount."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes = sizes_of(config)
    model = TorchBiLM(BiLMConfig(sizes.vocab, sizes.projection, sizes.cell))
    if system == "torch_lstm":
        for name, layer in list(model.named_children()):
            if isinstance(layer, TorchProjectedLSTM):
                setattr(model, name, BuiltInLSTM(model.config))
    if task.startswith("embed"):
        return _embedding(model, batch_shape(task, sizes))
    return Training(model, sizes, task == "train_sampled")


def _embedding(model, shape):
    model.eval()
    ids = torch.randint(0, model.config.vocab_size, shape)

    def run():
        with torch.no_grad():
            model(ids)
        return shape[0] * shape[1]

    return run


class Training:
    """Steps on batches that are made beforehand: no text is read, no candidates are drawn."""

    def __init__(self, model, sizes, is_sampled):
        self.model, self.sizes = model, sizes
        with torch.no_grad():
            model.softmax.weight.normal_(0, sizes.projection**-0.5)
        self.optimizer = torch.optim.Adagrad(
            model.parameters(), lr=0.2, eps=0.0, initial_accumulator_value=1.0
        )
        random = np.random.default_rng(0)
        shares = 1.0 / np.arange(1, sizes.vocab + 1)
        shape = [4, 2, 2, sizes.batch, sizes.steps]  # batches, inputs and targets, directions
        ids = random.choice(sizes.vocab, shape, p=shares / shares.sum())
        drawn = [[None, None]] * len(ids)
        if is_sampled:
            sampler = LogUniformSampler(sizes.vocab, sizes.candidates)
            drawn = [[sampler.draw(row.reshape(-1), random) for row in batch[1]] for batch in ids]
        self.batches = cycle(list(zip(torch.from_numpy(ids), drawn)))
        self.states = {}

    def __call__(self):
        (inputs, targets), drawn = next(self.batches)
        for direction, name in enumerate(("forward", "backward")):
            hidden = self._run(name, inputs[direction])
            nats = self._nats(hidden, targets[direction].reshape(-1), drawn[direction])
            (nats / (2 * self.sizes.batch)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return inputs[0].numel()

    def _run(self, name, ids):
        """Return the top layer (tokens, projection); the states are carried."""
        values = self.model.embed(ids)
        for number in range(2):
            layer = getattr(self.model, f"{name}_layer_{number}")
            values = F.dropout(values, DROPOUT)
            zeros = values.new_zeros
            state = self.states.get((name, number)) or (
                zeros(self.sizes.batch, self.sizes.projection),
                zeros(self.sizes.batch, self.sizes.cell),
            )
            outputs, *state = layer(values, *state)
            self.states[name, number] = tuple(value.detach() for value in state)
            values = outputs + values if number else outputs
        return F.dropout(values, DROPOUT).flatten(0, 1)

    def _nats(self, hidden, targets, drawn):
        softmax = self.model.softmax
        if drawn is None:
            return F.cross_entropy(F.linear(hidden, softmax.weight, softmax.bias), targets,
                                   reduction="sum")
        ids = torch.from_numpy(drawn.ids)
        rows = F.embedding(ids, softmax.weight)
        scores = F.linear(hidden, rows, softmax.bias[ids] - _log(drawn.expected_counts))
        own = (hidden * F.embedding(targets, softmax.weight)).sum(1) + softmax.bias[targets]
        own = own - _log(drawn.target_expected_counts)
        # a target among the candidates counts once
        places = torch.from_numpy(drawn.target_places)
        hits = torch.nonzero(places >= 0).squeeze(1)
        scores = scores.index_put((hits, places[hits]), torch.tensor(-1e30))
        return F.cross_entropy(torch.cat([own[:, None], scores], 1), torch.zeros_like(targets),
                               reduction="sum")


def _log(counts):
    return torch.from_numpy(np.log(counts).astype(np.float32))
