"""Sets up a training run: corpus, vocabulary, model and trainer, all checked."""

import json
import logging
import math
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Optional

import paddle
from tqdm import tqdm

from bilm.errors import InputError
from bilm.network.model import BiLM
from bilm.storage.pretrained import open_model
from bilm.storage.runs import RunFolder
from bilm.storage.stored_model import StoredModel
from bilm.storage.tensors import set_weights, weights_of
from bilm.text.corpus import Corpus
from bilm.text.segmentation import load_segmentation, warn_of_segmentation
from bilm.text.vocabulary import Vocabulary
from bilm.training import distributed
from bilm.training.options import TrainingOptions
from bilm.training.trainer import Trainer

_log = logging.getLogger("bilm")

# Options that may differ between processes.
_OF_A_PROCESS = dict.fromkeys((
    "train_path", "test_path", "vocab_path", "load_pretraining_params", "para_save_dir", "threads"))


class Setup(NamedTuple):
    """The parts of a run.

    Attributes:
        options: The options.
        trainer: A trainer, at the step from which the run continues.
        dev: Text for dev evaluations, or None.
        vocabulary: The model's vocabulary.
        segmentation: Content of the training text's segmentation.json; None if unknown.
        tokens_per_epoch: Number of tokens in the training text.
        total_steps: Number of steps until the end of the last epoch, or --max_steps.
        interval: Summed nats and predictions since the last log line.
        source: Checkpoint from which the run continues, or None.
        folder: The run's folder; None in all processes but the first, which alone writes.
    """

    options: TrainingOptions
    trainer: Trainer
    dev: Optional[Corpus]
    vocabulary: Vocabulary
    segmentation: Optional[dict]
    tokens_per_epoch: int
    total_steps: int
    interval: dict
    source: Optional[Path]
    folder: Optional[RunFolder]


def set_up(
    options: TrainingOptions,
    folder: Optional[RunFolder],
    checkpoint: Optional[StoredModel] = None,
    source: Optional[Path] = None,
    pretrained: Optional[StoredModel] = None,
    quiet: bool = False,
) -> Setup:
    """Return the parts of a run, new or as they were when `checkpoint` was written.

    Args:
        options: The options.
        folder: The run's folder; None in all processes but the first.
        checkpoint: Checkpoint to continue from; None starts a new run.
        source: The checkpoint's folder.
        pretrained: The model at options.load_pretraining_params, if its moments of Adagrad are to
            be continued; None: only weights are taken from there.
        quiet: Whether to hide progress.

    Raises:
        InputError: Something in the options does not fit what is there.
    """
    vocabulary = _vocabulary(options, checkpoint)
    corpus = Corpus(options.train_path, vocabulary)
    dev = Corpus(options.test_path, vocabulary) if options.test_path else None
    if dev:
        dev.count()  # for its errors: better now than at the first dev evaluation
    saved = checkpoint.training["state.json"] if checkpoint else {}
    tokens_per_epoch = saved.get("tokens_per_epoch") or _count(corpus, options, quiet)
    total_steps = _total_steps(options, tokens_per_epoch, saved)
    with_moments = pretrained is not None
    if options.load_pretraining_params and not checkpoint and pretrained is None:
        pretrained = open_model(options.load_pretraining_params, moments=False)
    model = _new_model(options, vocabulary, pretrained)
    trainer = Trainer(model, corpus, options, total_steps)
    if with_moments:
        _set_moments(trainer, options, pretrained)
    if checkpoint:
        with _reading(corpus, "checking the text", quiet) as bar:
            corpus.fingerprints(bar.update)
        trainer.restore(checkpoint, str(source))
        segmentation = checkpoint.segmentation
    else:
        segmentation = load_segmentation(corpus.shards[0].parent)
    if distributed.world_size() > 1:
        _agree(options, corpus, trainer)
    if folder is not None:
        _warn_of_the_text(corpus, dev, segmentation, pretrained)
        if source is not None and source.parent.resolve() == folder.path.resolve():
            folder.set_pointer(source)  # later checkpoints and figures belong to what is undone
    interval = saved.get("interval") or {"nats": 0.0, "predictions": 0}
    return Setup(options, trainer, dev, vocabulary, segmentation, tokens_per_epoch, total_steps,
                 interval, source, folder)


def _agree(options, corpus, trainer):
    """Check that all processes have the same input, and give them the same weights."""
    vocabulary = corpus.vocabulary
    distributed.check_equal({
        "the checkpoint": str(trainer.step),
        "the vocabulary": "\n".join(vocabulary.decode(range(len(vocabulary)))),
        "the training text": json.dumps(corpus.fingerprints()),
        "the flags": json.dumps({**asdict(options), **_OF_A_PROCESS}),
    })
    distributed.share_parameters(trainer.model.parameters())


def _warn_of_the_text(corpus, dev, segmentation, pretrained):
    _warn_of_unknown_words(corpus)
    for text in filter(None, (corpus, dev)):
        warn_of_segmentation(segmentation, text.shards)
    if pretrained:
        warn_of_segmentation(pretrained.segmentation, corpus.shards)


def _vocabulary(options, checkpoint):
    path = options.vocab_path
    saved = checkpoint.vocabulary if checkpoint else None
    if saved is None and not path:
        raise InputError("--vocab_path is missing: give a vocabulary file")
    if saved is None:
        return Vocabulary.load(path)
    if path and Path(path).exists() and Vocabulary.load(path) != saved:
        raise InputError(f"--vocab_path {path} is not the vocabulary of the checkpoint")
    return saved


def _reading(corpus, what, quiet):
    hidden = True if quiet or distributed.rank() > 0 else None  # None: shown on a terminal
    return tqdm(total=sum(corpus.sizes), unit="B", unit_scale=True, desc=what, disable=hidden)


def _count(corpus, options, quiet):
    with _reading(corpus, "counting tokens", quiet) as bar:
        counts = corpus.count(bar.update)
    if distributed.rank() == 0:
        if not quiet:
            _log.info(f"{len(corpus.shards)} shards, {counts.sentences} sentences, "
                      f"{counts.tokens} tokens an epoch, {counts.blank_lines} blank lines skipped")
        if options.all_train_tokens not in (0, counts.tokens):
            _log.warning(f"--all_train_tokens says {options.all_train_tokens}, counted are "
                         f"{counts.tokens}; the count is used")
    return counts.tokens


def _total_steps(options, tokens_per_epoch, saved):
    rows = options.batch_size * options.gradient_accumulation * distributed.world_size()
    tokens_per_step = rows * options.num_steps
    if tokens_per_epoch < tokens_per_step:
        raise InputError(
            f"--train_path {options.train_path}: {tokens_per_epoch} tokens are fewer than one "
            f"batch of {tokens_per_step}; lower --batch_size or --num_steps"
        )
    steps = math.ceil(options.max_epoch * tokens_per_epoch / tokens_per_step)
    total = min(steps, options.max_steps or steps)
    before = saved.get("total_steps", total)
    if options.decay != "none" and not options.decay_steps and before != total:
        _log.warning(f"the learning rate now falls until step {total}, before until {before}; "
                     "--decay_steps fixes it")
    return total


def _new_model(options, vocabulary, pretrained):
    paddle.seed(options.random_seed)
    model = BiLM(options.model_config(vocabulary), lark_init=options.lark_init)
    if pretrained:
        source = options.load_pretraining_params
        set_weights(model, _with_softmax(pretrained.tensors, model, source), source)
        if pretrained.vocabulary not in (None, vocabulary):
            raise InputError(
                f"{source}: its vocab.txt is not --vocab_path {options.vocab_path}: its rows "
                "belong to other words; pass the vocabulary that it was trained with"
            )
    if options.sample_softmax and options.n_negative_samples_batch >= len(vocabulary):
        _log.warning(f"--n_negative_samples_batch {options.n_negative_samples_batch} covers the "
                     f"whole vocabulary of {len(vocabulary)} words: the softmax is not sampled")
    model.train()
    return model


def _with_softmax(weights, model, source):
    """Return the weights; where they have no softmax, with the model's new one."""
    if "softmax.weight" in weights:
        return weights
    _log.warning(f"{source} has no softmax: it is initialised, and has to be learned")
    own = {name: array for name, array in weights_of(model).items() if "softmax." in name}
    return {**weights, **own}


def _set_moments(trainer, options, pretrained):
    moments, source = pretrained.moments, options.load_pretraining_params
    if not moments:
        _log.warning(f"{source} has no moments of Adagrad: the optimiser starts anew")
    elif options.optimizer != "adagrad":
        _log.warning(f"{source} has moments of Adagrad, which {options.optimizer} does not use")
    else:
        trainer.set_moments(moments, source)
        _log.info(f"{source}: weights and Adagrad's moments are taken over")


def _warn_of_unknown_words(corpus):
    unk_id = corpus.vocabulary.unk_id
    words = [ids[1:-1] for ids, _ in islice(corpus.sentences(), 1000)]
    rate = sum(int((ids == unk_id).sum()) for ids in words) / sum(map(len, words))
    if rate > 0.5:
        _log.warning(f"{rate:.0%} of the words of {corpus.shards[0]} are not in the vocabulary: "
                     "was the text segmented (bilm segment), and is the vocabulary built from it?")
