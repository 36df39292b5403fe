"""One training step, and everything that has to be saved to go on from it exactly.

All randomness of a step is a function of the seed and the step's number (and the rank,
for dropout), so there is no random state that could be lost.
"""

from typing import NamedTuple, Optional

import numpy as np
import paddle

from bilm import distributed
from bilm.batches import BatchDealer, TrainingBatch
from bilm.checkpoint import Checkpoint, set_weights, weights_of
from bilm.corpus import BatchPosition, Corpus, pack_position, unpack_position
from bilm.errors import InputError
from bilm.losses import full_softmax_loss, sampled_softmax_loss, token_weights
from bilm.lstm import LSTMState
from bilm.model import BiLM
from bilm.optimizer import (
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
from bilm.prefetch import Prefetcher
from bilm.randomness import random_for, seed_paddle
from bilm.training_options import TrainingOptions


class StepResult(NamedTuple):
    """Figures of one step, over all processes.

    Attributes:
        nats: Summed cross entropy over all tokens and directions.
        predictions: Tokens times directions.
        tokens: Tokens of the batch.
        learning_rate: Used by the step.
        grad_norm: Global norm of the gradients of loss * num_steps, before clipping.
    """

    nats: float
    predictions: int
    tokens: int
    learning_rate: float
    grad_norm: float


class Trainer:
    """A model in training, with its optimiser, its place in the corpus and its LSTM state.

    The loss is LARK's: the mean over directions and positions, times num_steps (masked
    positions, which only the end of the last epoch has, count as 0). Each row keeps its
    LSTM state from window to window.

    Args:
        model: In training mode.
        corpus: What to read.
        options: How to train.
        total_steps: For the decay of the learning rate.
    """

    def __init__(
        self, model: BiLM, corpus: Corpus, options: TrainingOptions, total_steps: int
    ):
        self.model = model
        self.options = options
        self.step = 0
        self.tokens = 0
        self._dealer = BatchDealer(corpus, options, model.config)
        self._total_steps = total_steps
        self._parameters = model.state_dict()
        trainable = list(self._parameters.values())
        self._optimizer = build_optimizer(options.optimizer, options.learning_rate, trainable)
        model.sparse_gradients = (
            options.optimizer in TAKES_SPARSE_GRADIENTS
            and options.amp == "O0"
            and distributed.world_size() == 1
        )
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

    def batches(self) -> Prefetcher:
        """Return the batches from the present place on, prepared in the background."""
        return self._dealer.start(self.step + 1, self._position)

    def train_step(self, prepared: TrainingBatch) -> StepResult:
        """Update the model from one batch; return the step's figures.

        Raises:
            InputError: The loss or a gradient is not finite. No weight has changed then.
        """
        step = self.step + 1
        seed_paddle("dropout", self.options.random_seed, step, distributed.rank())
        self._reset_states(step)
        loss = sum(
            self._backward(prepared, part, rows) for part, rows in enumerate(self._dealer.parts)
        )
        # weights of tokens are 1 / (directions * rows): see _backward
        nats = distributed.sum_numbers(loss)[0] * self._directions * self._dealer.rows
        if not np.isfinite(nats):
            raise InputError(f"step {step}: the loss is {nats}; lower --learning_rate")
        learning_rate = learning_rate_at(step, self.options, self._total_steps)
        norm = self._update(learning_rate)
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
            keep = paddle.to_tensor(kept[rows]).unsqueeze(-1)  # (rows, 1)
            self._states[part] = LSTMState(*(values * keep for values in self._states[part]))

    def _backward(self, prepared, part, rows) -> float:
        """Add the gradients of some rows in all directions; return their share of the loss."""
        batch = prepared.batch
        inputs, targets = (
            paddle.to_tensor(ids[:, rows]) for ids in (batch.inputs, batch.targets)
        )
        directions, num_rows, steps = targets.shape
        # mean over directions and positions, times num_steps
        weights = token_weights(
            None if batch.mask is None else batch.mask[rows],
            num_rows * steps,
            1.0 / (directions * self._dealer.rows),
        )
        with paddle.amp.auto_cast(self._scaler is not None, level=self._amp_level):
            hidden, state = self.model.predict_both(inputs, self._states[part])
        hidden = hidden.flatten(1, 2).astype("float32")  # (directions, tokens, projection)
        loss = self._loss(hidden, targets.flatten(1), weights, prepared.candidates[part])
        (self._scaler.scale(loss) if self._scaler else loss).backward()
        self._states[part] = LSTMState(*(value.detach().astype("float32") for value in state))
        return loss.item()

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
        for softmax, drawn, *arguments in zip(softmaxes, candidates, hidden, targets):
            arguments += softmax.weight, softmax.bias
            if drawn is None:
                loss += full_softmax_loss(*arguments, weights)
            else:
                loss += sampled_softmax_loss(
                    *arguments, drawn, weights, self.model.sparse_gradients
                )
        return loss

    @property
    def _amp_level(self) -> str:
        return "O1" if self.options.amp == "O0" else self.options.amp

    @paddle.no_grad()
    def _update(self, learning_rate) -> float:
        self._optimizer.set_lr(learning_rate)
        gradients = collect_gradients(self._parameters.values())
        distributed.sum_gradients(gradients)
        if self._scaler:
            self._scaler.unscale_(self._optimizer)
        norm = global_norm(gradients)
        factor = clip_factor(norm, self.options.max_grad_norm)
        if self._scaler:
            scale_gradients(gradients, factor)
            self._scaler.step(self._optimizer)
            self._scaler.update()
        elif np.isfinite(norm):
            apply_gradients(self._optimizer, gradients, factor)
        self._optimizer.clear_grad(set_to_zero=False)
        if self._scaler is None and not np.isfinite(norm):
            raise InputError(
                f"step {self.step + 1}: the gradient's norm is {norm}; lower --learning_rate"
            )
        return norm

    def lstm_state(self) -> LSTMState:
        """Return the state of all rows: hidden (directions, layers, rows, projection), cell."""
        return LSTMState(
            *(distributed.gather(paddle.concat(part, axis=2), axis=2)
              for part in zip(*self._states))
        )

    def pack(self, vocabulary, segmentation, progress: dict) -> Checkpoint:
        """Return a checkpoint of the present moment. Every process must call this.

        Args:
            vocabulary: Saved beside the weights.
            segmentation: How the text was segmented, or None.
            progress: Anything else to be saved, as JSON.
        """
        state = self.lstm_state()
        stream, rows = pack_position(self._position)
        document = {
            "step": self.step,
            "tokens": self.tokens,
            "random_seed": self.options.random_seed,
            "stream": stream,
            "shards": self._dealer.corpus.sizes(),
            "scaler": _as_json(self._scaler.state_dict()) if self._scaler else None,
            **progress,
        }
        optimizer = pack_optimizer(self._optimizer, self.options.optimizer, self._parameters)
        return Checkpoint(
            self.model.config,
            vocabulary,
            segmentation,
            weights_of(self.model),
            {
                "state.json": document,
                "optimizer.safetensors": optimizer,
                "lstm.safetensors": {k: value.numpy() for k, value in state._asdict().items()},
                "rows.safetensors": rows,
            },
        )

    def restore(self, checkpoint: Checkpoint, source: str) -> None:
        """Go back to the moment of `pack`.

        Args:
            checkpoint: Read with its training state.
            source: Where it comes from, for messages.

        Raises:
            InputError: Tensors do not fit, or the training text is not the same any more.
        """
        training = checkpoint.training
        document = training["state.json"]
        _check_shards(document["shards"], self._dealer.corpus.sizes(), source)
        set_weights(self.model, checkpoint.weights, f"{source}/model.safetensors")
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
        if len(self._position.rows) != self._dealer.rows:
            raise InputError(
                f"{source}: was written with {len(self._position.rows)} rows a batch over all "
                f"processes, now there are {self._dealer.rows}; start as many processes as before"
            )
        self._restore_states(training["lstm.safetensors"])
        self.step, self.tokens = document["step"], document["tokens"]

    def set_moments(self, moments: dict, source: str) -> None:
        """Give Adagrad the accumulators of an earlier training, before the first step.

        A softmax without accumulators, one that has just been initialised, starts at 1.

        Args:
            moments: Arrays named `<parameter>.moment_0`.
            source: Where they come from, for messages.

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

    def _restore_states(self, arrays):
        for part, rows in enumerate(self._dealer.parts):
            self._states[part] = LSTMState(
                *(paddle.to_tensor(arrays[name][:, :, self._dealer.my_rows][:, :, rows])
                  for name in LSTMState._fields)
            )


def _as_json(scaler_state):
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in scaler_state.items()
    }


def _check_shards(before, now, source):
    """Compare [name, bytes] lists; the folder that the shards are in may have moved."""
    changes = [
        f"shard {number} was {old[0]} of {old[1]} bytes and is {new[0]} of {new[1]}"
        for number, (old, new) in enumerate(zip(before, now), start=1)
        if list(old) != list(new)
    ]
    if len(before) != len(now):
        changes.append(f"there were {len(before)} shards and are {len(now)}")
    if changes:
        raise InputError(f"{source}: the training text has changed since: " + "; ".join(changes))
