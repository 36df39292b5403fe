"""Training batches: the rows of one process, in parts, with candidates for a sampled softmax."""

from typing import Iterator, List, NamedTuple, Optional

import numpy as np

from bilm.hardware import sendable
from bilm.kernels.arguments import Candidates
from bilm.network.config import BiLMConfig
from bilm.network.log_uniform_sampler import LogUniformSampler
from bilm.randomness import random_for
from bilm.text.corpus import Batch, BatchPosition, Corpus, WindowReader
from bilm.training import distributed
from bilm.training.options import TrainingOptions
from bilm.training.prefetch import Prefetcher


class TrainingBatch(NamedTuple):
    """The input of one training step.

    Attributes:
        batch: The rows of this process; its num_tokens counts the whole batch.
        ids: Inputs and targets of each part of the rows (gradient accumulation), as
            `bilm.hardware.sendable` returns them.
        candidates: Candidates of the sampled softmax by part and direction; None with the full
            softmax.
        words_read: Sorted ids in the inputs of all processes; None with one process.
        words_scored: For each direction, sorted ids of the targets of all processes and of the
            candidates; empty with one process or the full softmax.
    """

    batch: Batch
    ids: List[tuple]
    candidates: List[List[Optional[Candidates]]]
    words_read: Optional[np.ndarray]
    words_scored: List[np.ndarray]


class BatchDealer:
    """Divides the rows of each batch among processes, and those of a process into parts.

    Every process reads the same stream of sentences and takes its own rows.

    Attributes:
        rows: Number of rows of a whole batch, over all processes.
        my_rows: Slice of the rows that this process takes.
        parts: Slice of each part within the rows of this process.
    """

    def __init__(self, corpus: Corpus, options: TrainingOptions, config: BiLMConfig):
        self.corpus = corpus
        self._options = options
        self._directions = config.num_directions
        size = options.batch_size
        mine = size * options.gradient_accumulation
        self.rows = mine * distributed.world_size()
        self.my_rows = slice(distributed.rank() * mine, (distributed.rank() + 1) * mine)
        self.parts = [slice(start, start + size) for start in range(0, mine, size)]
        self._sampler = None
        if options.sample_softmax:
            self._sampler = LogUniformSampler(
                config.vocab_size, min(options.n_negative_samples_batch, config.vocab_size)
            )

    def start(self, step: int, position: Optional[BatchPosition]) -> Prefetcher:
        """Return the batches from `position` on, prepared in the background.

        Args:
            step: Number of the step that takes the first batch.
            position: Place in the corpus; None means the beginning.
        """
        reader = WindowReader(
            self.corpus,
            self.rows,
            self._options.num_steps,
            self._directions,
            position,
            epochs=self._options.max_epoch,
            shuffle=self._options.shuffle,
            seed=self._options.random_seed,
        )
        return Prefetcher(enumerate(reader, start=step), self._prepare)

    def _prepare(self, numbered_batch) -> TrainingBatch:
        step, batch = numbered_batch
        mine = batch._replace(
            inputs=batch.inputs[:, self.my_rows],
            targets=batch.targets[:, self.my_rows],
            mask=None if batch.mask is None else batch.mask[self.my_rows],
        )
        candidates = [list(self._draw(step, mine.targets[:, part])) for part in self.parts]
        ids = [tuple(sendable(side[:, part]) for side in (mine.inputs, mine.targets))
               for part in self.parts]
        if distributed.world_size() == 1:
            return TrainingBatch(mine, ids, candidates, None, [])
        scored = [
            np.union1d(drawn.ids, targets)  # parts and processes have the same candidates
            for drawn, targets in zip(candidates[0], batch.targets) if drawn is not None
        ]
        return TrainingBatch(mine, ids, candidates, np.unique(batch.inputs), scored)

    def _draw(self, step, targets) -> Iterator[Optional[Candidates]]:
        for direction, ids in enumerate(targets):
            if self._sampler is None:
                yield None
            else:  # the same draw in every process and part
                random = random_for("candidates", self._options.random_seed, step, direction)
                yield self._sampler.draw(ids.reshape(-1), random)
