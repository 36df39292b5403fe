"""One training step, and everything that has to be saved to go on from it exactly.

All randomness of a step is a function of the seed and the step's number (and the rank,
for dropout), so there is no random state that could be lost.
"""

from typing import Iterator, List, NamedTuple, Optional

import numpy as np
import paddle

from bilm import distributed
from bilm.checkpoint import Checkpoint, set_weights, weights_of
from bilm.corpus import Batch, BatchPosition, Corpus, WindowReader, pack_position, unpack_position
from bilm.errors import InputError
from bilm.losses import (
    Candidates,
    LogUniformSampler,
    full_softmax_loss,
    sampled_softmax_nats,
    token_weights,
)
from bilm.lstm import LSTMState
from bilm.model import BiLM
from bilm.optimizer import (
    TAKES_SPARSE_GRADIENTS,
    build_optimizer,
    clip_to_norm,
    collect_gradients,
    global_norm,
    learning_rate_at,
    pack_optimizer,
    unpack_optimizer,
)
from bilm.prefetch import Prefetcher
from bilm.training_options import TrainingOptions


class TrainingBatch(NamedTuple):
    """What one step needs: this process's rows of a batch, and the candidates of each direction.

    Attributes:
        batch: The rows of this process.
        num_tokens: Tokens of the whole batch, for one direction.
        candidates: For each part of the batch (gradient accumulation) and direction;
            None where the full softmax is used.
    """

    batch: Batch
    num_tokens: int
    candidates: List[List[Optional[Candidates]]]


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

    The loss is LARK's: the mean over directions and positions, times num_steps. The rows
    of a batch are dealt in order to processes and, within a process, to the parts whose
    gradients are accumulated; each row keeps its LSTM state from window to window.

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
        self._corpus = corpus
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
            self._scaler = paddle.amp.GradScaler()
            if options.amp == "O2":
                paddle.amp.decorate(model, self._optimizer, level="O2", master_weight=True)
        self._sampler = None
        if options.sample_softmax:
            vocab_size = model.config.vocab_size
            self._sampler = LogUniformSampler(
                vocab_size, min(options.n_negative_samples_batch, vocab_size)
            )
        self._position: Optional[BatchPosition] = None
        # for each part of the batch and each direction
        self._states = [
            [_direction_state(state, direction) for direction in range(self._directions)]
            for state in (
                model.initial_state(options.batch_size)
                for _ in range(options.gradient_accumulation)
            )
        ]

    @property
    def _directions(self) -> int:
        return self.model.config.num_directions

    @property
    def rows(self) -> int:
        """Rows of a whole batch, over all processes."""
        options = self.options
        return options.batch_size * options.gradient_accumulation * distributed.world_size()

    @property
    def _first_row(self) -> int:
        """The first row of a batch that this process has."""
        return distributed.rank() * self.options.batch_size * self.options.gradient_accumulation

    def batches(self) -> Prefetcher:
        """Return the batches from the present place on, prepared in the background."""
        reader = WindowReader(
            self._corpus,
            self.rows,
            self.options.num_steps,
            self._directions,
            self._position,
            epochs=self.options.max_epoch,
            shuffle=self.options.shuffle,
            seed=self.options.random_seed,
        )
        return Prefetcher(enumerate(reader, start=self.step + 1), self._prepare)

    def _prepare(self, numbered_batch) -> TrainingBatch:
        step, batch = numbered_batch
        rows = slice(self._first_row, self._first_row + self.rows // distributed.world_size())
        local = Batch(
            batch.inputs[:, rows],
            batch.targets[:, rows],
            None if batch.mask is None else batch.mask[rows],
            batch.num_tokens,
            batch.position,
        )
        candidates = [
            [self._draw(step, direction, local.targets[direction, part])
             for direction in range(self._directions)]
            for part in self._parts()
        ]
        return TrainingBatch(local, batch.num_tokens, candidates)

    def _draw(self, step, direction, targets):
        if self._sampler is None:
            return None
        # the same draw on every rank and in every part of the batch
        random = np.random.default_rng([self.options.random_seed, step, direction])
        return self._sampler.draw(targets.reshape(-1), random)

    def _parts(self) -> Iterator[slice]:
        size = self.options.batch_size
        for part in range(self.options.gradient_accumulation):
            yield slice(part * size, (part + 1) * size)

    def train_step(self, prepared: TrainingBatch) -> StepResult:
        """Update the model from one batch; return the step's figures.

        Raises:
            InputError: The loss is not finite. The model is left as it was.
        """
        step = self.step + 1
        _seed_dropout(self.options.random_seed, step, distributed.rank())
        self._reset_states(step)
        loss = 0.0
        for part, rows in enumerate(self._parts()):
            for direction in range(self._directions):
                loss += self._backward(prepared, part, rows, direction)
        # weights of tokens are 1 / (directions * rows): see _backward
        nats = distributed.sum_numbers(loss)[0] * self._directions * self.rows
        if not np.isfinite(nats):
            raise InputError(f"step {step}: the loss is {nats}; lower --learning_rate")
        learning_rate = learning_rate_at(step, self.options, self._total_steps)
        norm = self._update(learning_rate)
        self.step = step
        self.tokens += prepared.num_tokens
        self._position = prepared.batch.position
        predictions = prepared.num_tokens * self._directions
        return StepResult(nats, predictions, prepared.num_tokens, learning_rate, norm)

    def _reset_states(self, step) -> None:
        """Set the state of some rows to zero, the same rows in both directions."""
        if not self.options.state_reset_rate:
            return
        random = np.random.default_rng([self.options.random_seed, step])
        kept = random.random(self.rows) >= self.options.state_reset_rate
        for states, rows in zip(self._states, self._parts()):
            mine = slice(self._first_row + rows.start, self._first_row + rows.stop)
            keep = paddle.to_tensor(kept[mine].astype(np.float32)).unsqueeze(-1)  # (rows, 1)
            for direction, state in enumerate(states):
                states[direction] = LSTMState(*(values * keep for values in state))

    def _backward(self, prepared, part, rows, direction) -> float:
        """Add the gradients of some rows in one direction; return their share of the loss."""
        batch = prepared.batch
        inputs, targets = (
            paddle.to_tensor(ids[direction, rows]) for ids in (batch.inputs, batch.targets)
        )
        # mean over directions and positions, times num_steps
        weights = token_weights(
            None if batch.mask is None else batch.mask[rows],
            inputs.shape[0] * inputs.shape[1],
            1.0 / (self._directions * self.rows),
        )
        with paddle.amp.auto_cast(self._scaler is not None, level=self._amp_level):
            hidden, state = self.model.predict_from(
                direction, inputs, self._states[part][direction]
            )
        hidden = hidden.reshape([-1, hidden.shape[-1]]).astype("float32")
        softmax = self.model.softmax_of(direction)
        arguments = hidden, targets.reshape([-1]), softmax.weight, softmax.bias
        candidates = prepared.candidates[part][direction]
        if candidates is None:
            loss = full_softmax_loss(*arguments, weights)
        else:
            nats = sampled_softmax_nats(*arguments, candidates, self.model.sparse_gradients)
            loss = (nats * weights).sum()
        (self._scaler.scale(loss) if self._scaler else loss).backward()
        self._states[part][direction] = LSTMState(*(value.detach() for value in state))
        return float(loss)

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
        gradients = clip_to_norm(gradients, norm, self.options.max_grad_norm)
        if self._scaler:
            self._scaler.step(self._optimizer)
            self._scaler.update()
        else:
            self._optimizer.apply_gradients(gradients)
        self._optimizer.clear_grad(set_to_zero=False)
        return float(norm)

    def lstm_state(self) -> LSTMState:
        """Return the state of all rows: hidden (directions, layers, rows, projection), cell."""
        parts = [[paddle.stack(values) for values in zip(*states)] for states in self._states]
        return LSTMState(
            *(distributed.gather(paddle.concat(part, axis=2), axis=2) for part in zip(*parts))
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
            "shards": self._corpus.sizes(),
            "scaler": self._scaler.state_dict() if self._scaler else None,
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
        _check_shards(document["shards"], self._corpus.sizes(), source)
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
        if len(self._position.rows) != self.rows:
            raise InputError(
                f"{source}: was written with {len(self._position.rows)} rows a batch over all "
                f"processes, now there are {self.rows}; start as many processes as before"
            )
        self._restore_states(training["lstm.safetensors"])
        self.step, self.tokens = document["step"], document["tokens"]

    def _restore_states(self, arrays):
        for part, rows in enumerate(self._parts()):
            mine = slice(self._first_row + rows.start, self._first_row + rows.stop)
            for direction in range(self._directions):
                self._states[part][direction] = LSTMState(
                    *(paddle.to_tensor(arrays[name][direction, :, mine])
                      for name in LSTMState._fields)
                )


def _direction_state(state, direction):
    return LSTMState(*(values[direction] for values in state))


def _seed_dropout(*parts: int) -> None:
    paddle.seed(int(np.random.SeedSequence(parts).generate_state(1)[0]))


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
