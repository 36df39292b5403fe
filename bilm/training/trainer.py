"""One training step, and the state from which training continues exactly.

All randomness of a step is a function of the seed and the step's number (and the rank,
for dropout), so there is no random state that could be lost.
"""

import logging
from functools import reduce
from typing import Dict, List, NamedTuple, Optional

import numpy as np
import paddle

from bilm.errors import InputError
from bilm.hardware import received
from bilm.kernels.operators import chosen_name, sampled_softmax_loss
from bilm.network.losses import full_softmax_loss, token_weights
from bilm.network.lstm import LSTMState
from bilm.network.model import BiLM
from bilm.paddle_compat import as_tensor
from bilm.randomness import random_for, seed_for
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import set_weights, weights_of
from bilm.text.corpus import BatchPosition, Corpus, pack_position, unpack_position
from bilm.text.vocabulary import Vocabulary
from bilm.training import distributed
from bilm.training.batches import BatchDealer, TrainingBatch
from bilm.training.gradient_exchange import GradientExchange
from bilm.training.optimizer import (
    TAKES_SPARSE_GRADIENTS,
    apply_gradients,
    build_optimizer,
    clip_factor,
    collect_gradients,
    global_norm,
    learning_rate_at,
    pack_optimizer,
    scale_gradients,
    unpack_optimizer,
)
from bilm.training.options import TrainingOptions
from bilm.training.prefetch import Prefetcher
from bilm.training.state import check_shards

_log = logging.getLogger("bilm")


class StepResult(NamedTuple):
    """Figures of one step, over all processes.

    Attributes:
        nats: Summed cross entropy over all tokens and directions, a float64 scalar.
        predictions: Tokens times directions.
        tokens: Tokens of the batch.
        learning_rate: Used by the step.
        grad_norm: Global norm of the gradients of loss * num_steps before clipping, a float64
            scalar.
    """

    nats: paddle.Tensor
    predictions: int
    tokens: int
    learning_rate: float
    grad_norm: paddle.Tensor


class Trainer:
    """A model in training, with its optimiser, its place in the corpus and its LSTM state.

    The loss is LARK's: the mean over directions and positions, times num_steps (masked
    positions, which only the end of the last epoch has, count as 0). Each row keeps its
    LSTM state from window to window.

    Args:
        model: In training mode.
        corpus: The training text.
        options: Sizes, loss, optimiser and randomness of training.
        total_steps: Number of steps over which the learning rate decays.

    Attributes:
        waits: Whether each step checks for non-finite values before updating weights.
    """

    def __init__(
        self, model: BiLM, corpus: Corpus, options: TrainingOptions, total_steps: int
    ):
        self.model = model
        self.options = options
        self.step = 0
        self.tokens = 0
        # A GPU is idle while the program waits for its results; reading the rows of a sparse
        # gradient is such a wait, too.
        self.waits = paddle.device.get_device() == "cpu"
        self._dealer = BatchDealer(corpus, options, model.config)
        self._total_steps = total_steps
        self._parameters = model.state_dict()
        trainable = list(self._parameters.values())
        self._optimizer = build_optimizer(options.optimizer, options.learning_rate, trainable)
        model.sparse_gradients = (
            options.optimizer in TAKES_SPARSE_GRADIENTS and options.amp == "O0" and self.waits
        )
        self._exchange = None
        if distributed.world_size() > 1:
            self._exchange = GradientExchange(trainable, self._tables())
        self._scaler = None
        if options.amp != "O0":
            # the parameters stay float32 at both levels: they are their own master weights
            self._scaler = paddle.amp.GradScaler()
        self._position: Optional[BatchPosition] = None
        # for each part of the batch
        self._states = [
            model.initial_state(options.batch_size) for _ in range(options.gradient_accumulation)
        ]

    @property
    def _directions(self) -> int:
        return self.model.config.num_directions

    def _softmax_weights(self) -> dict:
        """Return the directions that each softmax serves, by its weight's name."""
        served: Dict[str, List[int]] = {}
        for direction in range(self._directions):
            served.setdefault(self.model.softmax_of(direction).weight.name, []).append(direction)
        return served

    def _tables(self) -> list:
        """Return the parameters in which a step touches only some rows."""
        parameters = [self.model.embedding.weight]
        if self.options.sample_softmax:
            parameters += [self.model.softmax_of(directions[0]).weight
                           for directions in self._softmax_weights().values()]
        return parameters

    def _rows_touched(self, prepared) -> list:
        """Return the rows of `_tables` that some process reads in this step."""
        scored = prepared.words_scored
        return [prepared.words_read] + [
            reduce(np.union1d, [scored[direction] for direction in directions])
            for directions in (self._softmax_weights().values() if scored else ())
        ]

    def batches(self) -> Prefetcher:
        """Return the batches from the present place on, prepared in the background."""
        return self._dealer.start(self.step + 1, self._position)

    def train_step(self, prepared: TrainingBatch) -> StepResult:
        """Update the model from one batch; return the step's figures.

        On a GPU nothing is waited for: `check_finite` has to be called now and then.

        Raises:
            InputError: The loss or a gradient is not finite; on the CPU. No weight has changed
                then.
        """
        step = self.step + 1
        paddle.seed(seed_for("dropout", self.options.random_seed, step, distributed.rank()))
        self._reset_states(step)
        loss = paddle.zeros([], "float64")
        for part, rows in enumerate(self._dealer.parts):
            if self._exchange and part == len(self._dealer.parts) - 1:
                self._exchange.start()
            loss += self._backward(prepared, part, rows)
        if self._exchange:
            self._exchange.raise_problem()
        # weights of tokens are 1 / (directions * rows): see _backward
        nats = distributed.sum_tensor(loss) * (self._directions * self._dealer.rows)
        if self.waits:
            check_finite(step, nats)
        learning_rate = learning_rate_at(step, self.options, self._total_steps)
        norm = self._update(prepared, learning_rate)
        self.step = step
        self.tokens += prepared.batch.num_tokens
        self._position = prepared.batch.position
        predictions = prepared.batch.num_tokens * self._directions
        return StepResult(nats, predictions, prepared.batch.num_tokens, learning_rate, norm)

    def _reset_states(self, step) -> None:
        """Set the state of some rows to zero, the same rows in both directions."""
        if not self.options.state_reset_rate:
            return
        random = random_for("resets", self.options.random_seed, step)
        kept = random.random(self._dealer.rows)[self._dealer.my_rows]
        kept = (kept >= self.options.state_reset_rate).astype(np.float32)
        for part, rows in enumerate(self._dealer.parts):
            keep = as_tensor(kept[rows]).unsqueeze(-1)  # (rows, 1)
            self._states[part] = LSTMState(*(values * keep for values in self._states[part]))

    def _backward(self, prepared, part, rows) -> paddle.Tensor:
        """Add the gradients of some rows in all directions; return their share of the loss."""
        batch = prepared.batch
        inputs, targets = map(received, prepared.ids[part])
        directions, num_rows, steps = targets.shape
        # mean over directions and positions, times num_steps
        weights = token_weights(
            None if batch.mask is None else batch.mask[rows],
            num_rows * steps,
            1.0 / (directions * self._dealer.rows),
        )
        with paddle.amp.auto_cast(self._scaler is not None, level=self._amp_level):
            hidden, state = self.model.read(range(directions), inputs, self._states[part])
        hidden = hidden.flatten(1, 2).astype("float32")  # (directions, tokens, projection)
        loss = self._loss(hidden, targets.flatten(1), weights, prepared.candidates[part])
        (self._scaler.scale(loss) if self._scaler else loss).backward()
        self._states[part] = LSTMState(*(value.detach().astype("float32") for value in state))
        return loss.detach().astype("float64")

    def _loss(self, hidden, targets, weights, candidates) -> paddle.Tensor:
        """Return the loss of hidden (directions, tokens, projection), targets (.., tokens)."""
        softmaxes = [self.model.softmax_of(direction) for direction in range(len(hidden))]
        if candidates[0] is None and self.model.config.share_softmax:  # one for both directions
            softmaxes = softmaxes[:1]
            weights = paddle.tile(weights, [hidden.shape[0]])
            hidden, targets = [hidden.flatten(0, 1)], [targets.flatten()]
        else:  # slices would be copied piece by piece
            hidden, targets = paddle.unstack(hidden), paddle.unstack(targets)
        loss = 0.0
        for softmax, drawn, rows, ids in zip(softmaxes, candidates, hidden, targets):
            weight, bias = softmax.weight, softmax.bias
            if drawn is None:
                loss += full_softmax_loss(rows, ids, weight, bias, weights)
            else:
                sparse = self.model.sparse_gradients
                loss += sampled_softmax_loss(rows, ids, weight, bias, drawn, weights, sparse)
        return loss

    @property
    def _amp_level(self) -> str:
        return "O1" if self.options.amp == "O0" else self.options.amp

    @paddle.no_grad()
    def _update(self, prepared, learning_rate) -> paddle.Tensor:
        self._optimizer.set_lr(learning_rate)
        if self._exchange:
            self._exchange.finish(self._rows_touched(prepared))
        gradients = collect_gradients(self._parameters.values())
        if self._scaler:
            self._scaler.unscale_(self._optimizer)
        norm = global_norm(gradients)
        factor = clip_factor(norm, self.options.max_grad_norm)
        if self._scaler:
            scale_gradients(gradients, factor)
            self._scaler.step(self._optimizer)
            self._scaler.update()
        else:
            if self.waits and not np.isfinite(norm.item()):
                self._optimizer.clear_grad(set_to_zero=False)
                raise InputError(f"step {self.step + 1}: the gradient's norm is {norm.item()}; "
                                 "lower --learning_rate")
            apply_gradients(self._optimizer, gradients, factor)
        self._optimizer.clear_grad(set_to_zero=False)
        return norm

    def lstm_state(self) -> LSTMState:
        """Return the state of all rows: hidden (directions, layers, rows, projection), cell."""
        return LSTMState(
            *(distributed.gather(paddle.concat(part, axis=2), axis=2)
              for part in zip(*self._states))
        )

    def pack(
        self,
        state: LSTMState,
        vocabulary: Vocabulary,
        segmentation: Optional[dict],
        progress: dict,
    ) -> StoredModel:
        """Return a checkpoint of the present moment.

        Args:
            state: From `lstm_state`, a call that all processes must make.
            vocabulary: Stored beside the weights.
            segmentation: How the text was segmented, or None.
            progress: More entries of state.json.
        """
        assert self._position is not None, "nothing has been trained"
        stream, rows = pack_position(self._position)
        document = {
            "step": self.step,
            "tokens": self.tokens,
            "random_seed": self.options.random_seed,
            "operators": chosen_name(),
            "stream": stream,
            "shards": self._dealer.corpus.fingerprints(),
            "scaler": _as_json(self._scaler.state_dict()) if self._scaler else None,
            **progress,
        }
        optimizer = pack_optimizer(self._optimizer, self.options.optimizer, self._parameters)
        return StoredModel(
            self.model.config,
            weights_of(self.model),
            vocabulary=vocabulary,
            segmentation=segmentation,
            training={
                "state.json": document,
                "optimizer.safetensors": optimizer,
                "lstm.safetensors": {k: value.numpy() for k, value in state._asdict().items()},
                "rows.safetensors": rows,
            },
        )

    def restore(self, checkpoint: StoredModel, source: str) -> None:
        """Restore the state that `pack` saved.

        Args:
            checkpoint: Read with its training state.
            source: The checkpoint's path, for messages.

        Raises:
            InputError: Tensors do not fit, or the training text has changed.
        """
        training = checkpoint.training
        document = training["state.json"]
        before = document.get("operators", chosen_name())
        if before != chosen_name():
            _log.warning(f"{source}: was trained with {before} operators, now {chosen_name()} ones "
                         "compute (BILM_KERNEL): figures will differ from an uninterrupted run's "
                         "by rounding and by what dropout draws")
        check_shards(document["shards"], self._dealer.corpus.fingerprints(), source)
        set_weights(self.model, checkpoint.tensors, f"{source}/model.safetensors")
        unpack_optimizer(
            self._optimizer,
            self.options.optimizer,
            self._parameters,
            training["optimizer.safetensors"],
            f"{source}/training/optimizer.safetensors",
        )
        if self._scaler:
            self._scaler.load_state_dict(document["scaler"])
        self._position = unpack_position(document["stream"], training["rows.safetensors"])
        self._restore_states(training["lstm.safetensors"], source)
        self.step, self.tokens = document["step"], document["tokens"]

    def set_moments(self, moments: dict, source: str) -> None:
        """Give Adagrad the accumulators of an earlier training, before the first step.

        A softmax without accumulators, one that has just been initialised, starts at 1.

        Args:
            moments: Arrays named `<parameter>.moment_0`.
            source: The file that they come from, for messages.

        Raises:
            InputError: Arrays are missing, not known or of another shape; all are listed.
        """
        new = {
            f"{name}.moment_0": np.ones(parameter.shape, np.float32)
            for name, parameter in self._parameters.items()
            if "softmax." in name
        }
        moments = {**new, **moments}
        unpack_optimizer(self._optimizer, "adagrad", self._parameters, moments, source)

    def _restore_states(self, arrays, source):
        num_rows = arrays["hidden"].shape[2]
        if num_rows != self._dealer.rows:
            _log.warning(f"{source}: was written with {num_rows} rows a batch over all processes, "
                         f"now there are {self._dealer.rows}: sentences are dealt to the rows "
                         "anew, and their LSTM states start at zero")
            return
        for part, rows in enumerate(self._dealer.parts):
            self._states[part] = LSTMState(
                *(as_tensor(arrays[name][:, :, self._dealer.my_rows][:, :, rows])
                  for name in LSTMState._fields)
            )


def check_finite(step: int, nats: paddle.Tensor) -> None:
    """Raise an InputError if nats that were summed until this step are not finite."""
    if not np.isfinite(nats.item()):
        raise InputError(f"step {step}: the loss is {nats.item()}; lower --learning_rate")


def _as_json(scaler_state):
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in scaler_state.items()
    }
