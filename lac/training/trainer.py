"""One training step of a tagger, and the state that has to be saved to continue it exactly.

All randomness of a step is a function of the seed and the step's number.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import paddle
from paddle.regularizer import L2Decay

from bilm.errors import InputError
from bilm.inference.batching import slices
from bilm.paddle_compat import as_tensor, set_learning_rate_factor
from bilm.randomness import random_for, seed_for
from bilm.training.optimizer import (
    apply_gradients,
    build_optimizer,
    clip_factor,
    collect_gradients,
    global_norm,
    pack_optimizer,
    unpack_optimizer,
)
from lac.layer_cache import LayerCache
from lac.lookup import Lookup, TokenIds
from lac.model_folder import OPTIMIZER_FILE, TRAINING_FOLDER
from lac.network.model import Tagger
from lac.prediction import tensors_of
from lac.pretrained import BILM_PREFIX, set_own_weights
from lac.tagged_files import TaggedSentence
from lac.training.options import TaggerOptions
from lac.training.sampling import epoch_order

_POOL_BATCHES = 20  # whose sentences are sorted by length, so that batches hold little padding
_OPTIMIZER = "adam"


class StepResult(NamedTuple):
    """Figures of one step.

    Attributes:
        nats: Summed negative log-likelihood of the sentences' tags.
        sentences: Number of sentences in the batch.
        tokens: Number of words in the batch.
    """

    nats: float
    sentences: int
    tokens: int


class TaggerTrainer:
    """A tagger in training, with its optimiser and its place in the data.

    The loss is LARK's: the mean negative log-likelihood of a batch's sentences.

    Args:
        tagger: The network.
        sentences: Training data.
        lookup: Turns sentences into the tagger's ids.
        tags: The tags in the order of their ids, with all tags of the data.
        options: The options.
        cache: ELMo's layers of the sentences, if the biLM is frozen.
        corpus_sizes: Numbers of sentences of the corpora that the training data consist of, in
            the order of the options' proportions; empty where the options have none.

    Attributes:
        tagger: The network.
        options: The options.
        step: Number of finished steps.
        steps_per_epoch: Number of batches in the training data.
    """

    def __init__(
        self,
        tagger: Tagger,
        sentences: Sequence[TaggedSentence],
        lookup: Lookup,
        tags: Sequence[str],
        options: TaggerOptions,
        cache: Optional[LayerCache] = None,
        corpus_sizes: Sequence[int] = (),
    ):
        self.tagger, self.options, self.step = tagger, options, 0
        self._sentences, self._lookup, self._cache = sentences, lookup, cache
        self._corpus_sizes = corpus_sizes
        self._tag_ids = {tag: number for number, tag in enumerate(tags)}
        self._rare = _words_seen_once(sentences, lookup)
        self.steps_per_epoch = -(-len(sentences) // options.batch_size)
        self._epoch = -1
        self._batches: List[Sequence[int]] = []
        self._parameters = {
            name: parameter for name, parameter in tagger.state_dict().items()
            if options.finetune_elmo or not name.startswith(BILM_PREFIX)
        }
        self._set_rates()
        self._optimizer = build_optimizer(
            _OPTIMIZER, options.learning_rate, list(self._parameters.values())
        )

    def _set_rates(self) -> None:
        """Set the learning rate and the L2 regularisation of each parameter."""
        options = self.options
        for name, parameter in self._parameters.items():
            rate, l2_coef = 1.0, 0.0
            if name.startswith("word_embedding."):
                rate = options.emb_learning_rate
            elif name.startswith("crf."):
                rate = options.crf_learning_rate
            elif name.startswith(BILM_PREFIX):
                rate = options.elmo_learning_rate
            elif name.startswith("elmo.mixes.") and name.endswith(".weights"):
                l2_coef = options.elmo_l2_coef
            elif "bias" not in name and name.startswith(("gru_layers.", "emissions.")):
                l2_coef = options.l2_coef
            set_learning_rate_factor(parameter, rate)
            parameter.regularizer = L2Decay(l2_coef) if l2_coef else None

    @property
    def epoch(self) -> float:
        """Number of passes over the data so far."""
        return self.step / self.steps_per_epoch

    def train_step(self) -> StepResult:
        """Update the tagger from the next batch; return the step's figures.

        Raises:
            InputError: The loss is not finite; no weight has changed.
        """
        step = self.step + 1
        numbers = self._next_batch()
        sentences = [self._sentences[number] for number in numbers]
        ids = self._lookup([sentence.tokens for sentence in sentences])
        self._hide_rare_words(ids, step)
        targets = np.zeros(ids.words.shape, np.int64)
        for row, sentence in zip(targets, sentences):
            row[: len(sentence.tags)] = [self._tag_ids[tag] for tag in sentence.tags]
        paddle.seed(seed_for("dropout", self.options.random_seed, step))
        self.tagger.train()
        cache = self._cache
        emissions = self.tagger(
            *tensors_of(ids, with_elmo=cache is None),
            elmo_layers=None if cache is None else as_tensor(cache.layers(numbers)),
        )
        nats = self.tagger.crf.nats(emissions, as_tensor(targets), as_tensor(ids.lengths)).sum()
        if not np.isfinite(float(nats)):
            raise InputError(f"step {step}: the loss is {float(nats)}; lower --learning_rate")
        (nats / len(numbers)).backward()
        self._update()
        self.step = step
        return StepResult(float(nats), len(numbers), int(ids.lengths.sum()))

    @paddle.no_grad()
    def _update(self) -> None:
        gradients = collect_gradients(self._parameters.values())
        norm = global_norm(gradients)
        factor = clip_factor(norm, self.options.max_grad_norm)
        apply_gradients(self._optimizer, gradients, factor)
        self._optimizer.clear_grad(set_to_zero=False)

    def _next_batch(self) -> Sequence[int]:
        epoch, place = divmod(self.step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._order(epoch)
        return self._batches[place]

    def _order(self, epoch: int) -> List[Sequence[int]]:
        """Return the batches of an epoch: shuffled, sentences of similar length together."""
        seed, proportions = self.options.random_seed, self.options.corpus_proportions
        random = random_for("tagged sentences", seed, epoch)
        if proportions:
            order = epoch_order(self._corpus_sizes, proportions, seed, epoch).tolist()
        else:
            order = random.permutation(len(self._sentences)).tolist()
        size, pool = self.options.batch_size, self.options.batch_size * _POOL_BATCHES
        batches: List[Sequence[int]] = []
        for block in slices(order, pool):
            by_length = sorted(block, key=lambda number: len(self._sentences[number].tokens))
            batches += slices(by_length, size)
        return [batches[number] for number in random.permutation(len(batches))]

    def _hide_rare_words(self, ids: TokenIds, step: int) -> None:
        """Replace some words that occur once by `<UNK>`, so that the tagger learns to tag it."""
        if not self.options.unknown_rate or not len(self._rare):
            return
        random = random_for("unknown words", self.options.random_seed, step)
        is_hidden = random.random(ids.words.shape) < self.options.unknown_rate
        ids.words[is_hidden & self._rare[ids.words]] = self._lookup.words.unk_id

    def pack(self) -> Dict[str, dict]:
        """Return the state for `restore` by file name, without the weights.

        At least one step must be done.
        """
        return {
            OPTIMIZER_FILE: pack_optimizer(self._optimizer, _OPTIMIZER, self._parameters)
        }

    def restore(
        self, step: int, weights: Dict[str, np.ndarray], training: Dict[str, dict], source: str
    ) -> None:
        """Go back to the moment after a step.

        Args:
            step: The step.
            weights: The result of `own_weights` after that step.
            training: The result of `pack`.
            source: The checkpoint, for messages.

        Raises:
            InputError: Arrays are missing, not known or of another shape; all are listed.
        """
        set_own_weights(self.tagger, weights, source)
        unpack_optimizer(
            self._optimizer, _OPTIMIZER, self._parameters, training[OPTIMIZER_FILE],
            f"{source}/{TRAINING_FOLDER}/{OPTIMIZER_FILE}",
        )
        self.step = step


def _words_seen_once(sentences: Sequence[TaggedSentence], lookup: Lookup) -> np.ndarray:
    """Return for each word id whether the word occurs once, shape (words,)."""
    counts = np.zeros(len(lookup.words), np.int64)
    for sentence in sentences:
        np.add.at(counts, lookup.words.encode(lookup.fold(sentence.tokens)), 1)
    return counts == 1
