"""What a training run of a tagger starts from: data, words, tags, biLM and folder, all checked."""

import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import paddle

from bilm.errors import InputError
from bilm.randomness import seed_for
from bilm.storage.pretrained import read_pretrained
from bilm.storage.runs import RunFolder
from bilm.storage.side_files import CONFIG_FILE
from bilm.text.vocabulary import Vocabulary
from lac.customization import Customization
from lac.evaluate import warn_of_unknown_tags
from lac.layer_cache import LayerCache
from lac.lookup import Lookup, num_character_rows
from lac.model_folder import ELMO_FOLDER, STATE_FILE, StoredTagger, read_tagger
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.pretrained import load_bilm, set_own_weights
from lac.tag_schemes import TagScheme
from lac.tagged_files import (
    TaggedCorpus,
    check_known,
    load_tags,
    read_tagged,
    to_line,
)
from lac.training.options import TaggerOptions
from lac.training.trainer import TaggerTrainer
from lac.width import WidthFolder, load_table, unicode_table

_log = logging.getLogger("lac")


class Setup(NamedTuple):
    """The parts of a run.

    Attributes:
        options: How to train.
        folder: The run's.
        data: Checksums of training, dev and test data, by which changes are noticed.
        trainer: At the step to go on from.
        stored: The tagger's folder as it will be written, but for the weights.
        lookup: The tagger's.
        train: Training data.
        dev: Data that decides when to stop.
        test: Data on which the best model is scored in the end, or None.
        dev_cache: ELMo's layers of it, or None.
        state: What the run itself remembered, or an empty dictionary.
    """

    options: TaggerOptions
    folder: RunFolder
    data: Dict[str, str]
    trainer: TaggerTrainer
    stored: StoredTagger
    lookup: Lookup
    train: TaggedCorpus
    dev: TaggedCorpus
    test: Optional[TaggedCorpus]
    dev_cache: Optional[LayerCache]
    state: dict


class Caches:
    """ELMo's layers of training and dev data, kept for runs that differ in other things.

    Args:
        quiet: Show no progress.
    """

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._found: Dict[str, Tuple[tuple, LayerCache]] = {}

    def get(self, name: str, tagger: Tagger, lookup, sentences, options) -> Optional[LayerCache]:
        """Return the layers of sentences; None where the tagger has no frozen biLM."""
        if tagger.elmo is None or options.finetune_elmo:
            return None
        key = options.elmo, options.variant, options.elmo_unknown, len(sentences)
        if self._found.get(name, (None,))[0] != key:
            tokens = [sentence.tokens for sentence in sentences]
            cache = LayerCache(
                tagger.elmo, lookup, tokens, options.cache_megabytes, options.save_dir,
                None if self._quiet else f"ELMo layers, {name}",
            )
            self._found[name] = key, cache
        return self._found[name][1]


def set_up(
    options: TaggerOptions,
    folder: RunFolder,
    resumed: Optional[StoredTagger] = None,
    training: Optional[dict] = None,
    source=None,
    caches: Optional[Caches] = None,
) -> Setup:
    """Return the parts of a run, new or as they were when a checkpoint was written.

    Args:
        options: How to train.
        folder: The one that the options name.
        resumed: The checkpoint's content; None: start anew.
        training: What it holds for resuming.
        source: Its folder.
        caches: Shared with other runs; None: this run has its own.

    Raises:
        InputError: Something in the options does not fit what is there.
    """
    train, dev, test = corpora = _read_data(options)
    data = _checksums(corpora)
    base = resumed
    if base is None and options.load_pretraining_params:
        base = read_tagger(options.load_pretraining_params)
        train, dev, test = (
            corpus and corpus._replace(scheme=TagScheme(base.config.scheme))
            for corpus in (train, dev, test)
        )
    bilm, elmo_words, segmentation = _load_bilm(options, base)
    if options.finetune_elmo and bilm is None:
        raise InputError(f"--finetune_elmo: {options.load_pretraining_params} has no ELMo")
    stored = _stored(options, base, resumed is not None, train, bilm)
    check_known(
        train, stored.tags,
        options.load_pretraining_params or options.label_dict_path, options.train_path,
    )
    train.scheme.check(stored.tags, options.label_dict_path or options.train_path)
    warn_of_unknown_tags(dev, stored.tags, options.dev_path)
    own_bilm = folder.path / ELMO_FOLDER
    if bilm is not None and not (resumed and (own_bilm / CONFIG_FILE).is_file()):
        bilm.save_pretrained(own_bilm, elmo_words, segmentation)
    paddle.seed(seed_for("initial weights", options.random_seed))
    tagger = Tagger(stored.config, bilm, options.finetune_elmo)
    lookup = stored.lookup()
    caches = caches or Caches()
    cache = caches.get("training data", tagger, lookup, train.sentences, options)
    dev_cache = caches.get("dev data", tagger, lookup, dev.sentences, options)
    trainer = TaggerTrainer(tagger, train.sentences, lookup, stored.tags, options, cache)
    state = {}
    if resumed is not None:
        state = training[STATE_FILE]
        if state["data"]["train"] != data["train"]:
            raise InputError(
                f"{options.train_path}: has changed since this run started; start a new one"
            )
        trainer.restore(state["step"], resumed.weights, training, str(source))
    elif base is not None:
        set_own_weights(tagger, base.weights, options.load_pretraining_params)
    return Setup(options, folder, data, trainer, stored, lookup, train, dev, test, dev_cache, state)


def _read_data(options) -> Tuple[TaggedCorpus, TaggedCorpus, Optional[TaggedCorpus]]:
    train = read_tagged(options.train_path)
    dev = read_tagged(options.dev_path, train.scheme)
    test = read_tagged(options.test_path, train.scheme) if options.test_path else None
    if len(train.sentences) > 1 and all(len(s.tokens) == 1 for s in train.sentences):
        _log.warning(f"{options.train_path}: every sentence is a single word; one word a line is CoNLL's "
             "form: here a line is a sentence")
    if options.max_train_sentences:
        train = train._replace(sentences=train.sentences[: options.max_train_sentences])
    return train, dev, test


def _load_bilm(options, base):
    """Return the biLM without its softmax, its vocabulary and segmentation; or three Nones."""
    path = base.elmo if base is not None else options.elmo_path
    if path is None:
        return None, None, None
    checkpoint = read_pretrained(path, (base is None and options.elmo_vocab_path) or None)
    config, words = checkpoint.config, checkpoint.vocabulary
    if words is None and config.char_cnn is None:
        raise InputError(f"{path}: has no vocab.txt; name the file with --elmo_vocab_path")
    bilm = load_bilm(checkpoint, path)
    return bilm, words, checkpoint.segmentation


def _stored(options, base, is_resumed, train, bilm) -> StoredTagger:
    """Return the tagger's folder as it will be, without weights."""
    elmo = None if bilm is None else Path(options.save_dir) / ELMO_FOLDER
    customization = base and base.customization
    if options.customization and not is_resumed:
        customization = Customization.load(options.customization)
    if base is not None:
        return base._replace(elmo=elmo, weights={}, customization=customization)
    widths = None
    if options.fold_width:
        path = options.word_rep_dict_path
        widths = load_table(path) if path else unicode_table()
    words, characters = _vocabularies(options, train, widths)
    tags = load_tags(options.label_dict_path) if options.label_dict_path else train.tags
    names = (
        "word_embedding_size", "gru_size", "num_layers", "dropout", "elmo_dropout", "elmo_unknown",
        "character_size", "constrained_decoding",
    )
    config = TaggerConfig(
        num_words=len(words),
        num_tags=len(tags),
        scheme=train.scheme.name,
        elmo_variant=None if bilm is None else options.variant,
        num_characters=num_character_rows(characters),
        **{name: getattr(options, name) for name in names},
    )
    return StoredTagger(config, tags, words, characters, widths, customization, {}, elmo)


def _vocabularies(options, train, widths) -> Tuple[Vocabulary, Optional[List[str]]]:
    """Return the words, and the characters if there are character features."""
    folder = WidthFolder(widths or {})
    counts = Counter(
        folder.fold(token) for sentence in train.sentences for token in sentence.tokens
    )
    if options.word_dict_path:
        words = [folder.fold(word) for word in Vocabulary.load(options.word_dict_path).words]
        words = Vocabulary(dict.fromkeys(words), options.word_dict_path)
    else:
        words = Vocabulary.from_counts(counts, options.min_word_count)
    if not options.char_features:
        return words, None
    characters = Counter()
    for word in counts:
        characters.update(word)
    # one that occurs in a single word is left out, so that <unknown> is learned
    frequent = [character for character, count in characters.items() if count > 1]
    return words, sorted(frequent, key=lambda character: (-characters[character], character))


def check_data(options: TaggerOptions, state: dict, source) -> None:
    """Raise an InputError if data is not what it was when a checkpoint was written."""
    now = _checksums(_read_data(options))
    changed = [name for name in now if now[name] != state["data"].get(name)]
    if changed:
        raise InputError(
            f"{source}: was made with other data: {', '.join(changed)} data have changed; choose "
            "another --save_dir"
        )


def _checksums(corpora) -> Dict[str, str]:
    """Return SHA-256s of the words and tags of training, dev and test data."""
    found = {}
    for name, corpus in zip(("train", "dev", "test"), corpora):
        digest = hashlib.sha256()
        for sentence in corpus.sentences if corpus else ():
            digest.update(to_line(sentence).encode() + b"\n")
        found[name] = digest.hexdigest()
    return found
