"""Sets up a training run of a tagger: data, words, tags, biLM and folder, all checked."""

from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

import paddle

from bilm.errors import InputError
from bilm.network.model import BiLM
from bilm.randomness import seed_for
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import RunFolder
from bilm.storage.side_files import CONFIG_FILE
from bilm.storage.stored_model import StoredModel
from bilm.text.vocabulary import Vocabulary
from lac.customization import Customization
from lac.evaluate import warn_of_unknown_tags
from lac.layer_cache import LayerCache
from lac.lookup import Lookup, num_character_rows
from lac.model_folder import ELMO_FOLDER, StoredTagger, read_tagger
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.pretrained import load_bilm, set_own_weights
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedCorpus, TaggedSentence, check_known, load_tags
from lac.training.data import Corpora, read_corpora
from lac.training.options import TaggerOptions
from lac.training.resume import Resumable
from lac.training.trainer import TaggerTrainer
from lac.width import WidthFolder, load_table, unicode_table


class Setup(NamedTuple):
    """The parts of a run.

    Attributes:
        options: The options.
        folder: The run's folder.
        corpora: The tagged text.
        data: Checksums of the tagged text.
        trainer: A trainer, at the step from which the run continues.
        stored: The tagger's folder as it will be written, except the weights.
        lookup: Turns sentences into the tagger's ids.
        dev_cache: ELMo's layers of the dev data, or None.
        state: The content of the checkpoint's state.json; empty for a new run.
    """

    options: TaggerOptions
    folder: RunFolder
    corpora: Corpora
    data: Dict[str, str]
    trainer: TaggerTrainer
    stored: StoredTagger
    lookup: Lookup
    dev_cache: Optional[LayerCache]
    state: dict


class Caches:
    """ELMo's layers of training and dev data, shared by runs with the same biLM and data.

    Args:
        quiet: Whether to hide progress.
    """

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._caches: Dict[str, Tuple[tuple, LayerCache]] = {}

    def get(
        self,
        name: str,
        tagger: Tagger,
        lookup: Lookup,
        sentences: List[TaggedSentence],
        options: TaggerOptions,
    ) -> Optional[LayerCache]:
        """Return the layers of sentences; None where the tagger has no frozen biLM.

        Args:
            name: "training data" or "dev data".
            tagger: The tagger.
            lookup: Turns sentences into its ids.
            sentences: The sentences.
            options: The options of the run.

        Raises:
            InputError: There is no room on the disk.
        """
        if tagger.elmo is None or options.finetune_elmo:
            return None
        key = options.elmo, options.variant, options.elmo_unknown, len(sentences)
        if name not in self._caches or self._caches[name][0] != key:
            tokens = [sentence.tokens for sentence in sentences]
            cache = LayerCache(
                tagger.elmo, lookup, tokens, options.cache_megabytes, options.save_dir,
                None if self._quiet else f"ELMo layers, {name}",
            )
            self._caches[name] = key, cache
        return self._caches[name][1]


def set_up(
    options: TaggerOptions,
    folder: RunFolder,
    checkpoint: Optional[Resumable] = None,
    caches: Optional[Caches] = None,
) -> Setup:
    """Return the parts of a run, new or as they were when a checkpoint was written.

    Args:
        options: The options.
        folder: The run's folder.
        checkpoint: Checkpoint to continue from; None starts a new run.
        caches: Layers of earlier runs, which are used if the biLM and the data are the same.

    Raises:
        InputError: The options do not fit the data, the tagger or the biLM that they name.
    """
    corpora = read_corpora(options)
    data = corpora.checksums()
    base = _read_base(options, checkpoint)
    if base is not None:
        corpora = corpora.with_scheme(TagScheme(base.config.scheme))
    elmo = _load_bilm(options, base)
    stored = _stored(options, base, checkpoint is not None, corpora.train, elmo is not None)
    _check_tags(options, corpora, stored.tags)
    if elmo is not None:
        _keep_bilm(folder, *elmo, checkpoint is not None)
    paddle.seed(seed_for("initial weights", options.random_seed))
    tagger = Tagger(stored.config, None if elmo is None else elmo[0], options.finetune_elmo)
    lookup = stored.lookup()
    caches = caches or Caches()
    train, dev = corpora.train.sentences, corpora.dev.sentences
    cache = caches.get("training data", tagger, lookup, train, options)
    dev_cache = caches.get("dev data", tagger, lookup, dev, options)
    sizes = corpora.train.sizes
    trainer = TaggerTrainer(tagger, train, lookup, stored.tags, options, cache, sizes)
    if base is not None and checkpoint is not None:
        _restore(trainer, base, checkpoint, data)
    elif base is not None:
        set_own_weights(tagger, base.weights, options.load_pretraining_params)
    state = {} if checkpoint is None else checkpoint.state
    return Setup(options, folder, corpora, data, trainer, stored, lookup, dev_cache, state)


def _read_base(
    options: TaggerOptions, checkpoint: Optional[Resumable]
) -> Optional[StoredTagger]:
    """Return the tagger that is trained further, or None."""
    if checkpoint is not None:
        return read_tagger(checkpoint.path)
    if options.load_pretraining_params:
        return read_tagger(options.load_pretraining_params)
    return None


def _load_bilm(
    options: TaggerOptions, base: Optional[StoredTagger]
) -> Optional[Tuple[BiLM, StoredModel]]:
    """Return the biLM without its softmax, and all that is stored with it; None without ELMo."""
    path = base.elmo if base is not None else options.elmo_path
    if path is None:
        if options.finetune_elmo:
            raise InputError(f"--finetune_elmo: {options.load_pretraining_params} has no ELMo")
        return None
    vocab_path = options.elmo_vocab_path if base is None else None
    source = open_model(path, vocab_path=vocab_path, moments=False)
    if source.vocabulary is None and source.config.char_cnn is None:
        raise InputError(f"{path}: has no vocab.txt; name the file with --elmo_vocab_path")
    return load_bilm(source, path), source


def _keep_bilm(folder: RunFolder, bilm: BiLM, source: StoredModel, is_resumed: bool) -> None:
    """Write the biLM into the run's folder, from which checkpoints link its files."""
    path = folder.path / ELMO_FOLDER
    if not (is_resumed and (path / CONFIG_FILE).is_file()):
        bilm.save_pretrained(path, source.vocabulary, source.segmentation)


def _check_tags(options: TaggerOptions, corpora: Corpora, tags: List[str]) -> None:
    """Check that the data's tags are the tagger's, and those are written in its scheme."""
    decided_by = options.load_pretraining_params or options.label_dict_path
    check_known(corpora.train, tags, decided_by, options.train_path)
    corpora.train.scheme.check(tags, options.label_dict_path or options.train_path)
    warn_of_unknown_tags(corpora.dev, tags, options.dev_path)


def _restore(
    trainer: TaggerTrainer, stored: StoredTagger, checkpoint: Resumable, data: Dict[str, str]
) -> None:
    """Set the trainer back to the moment when a checkpoint was written."""
    if checkpoint.state["data"]["train"] != data["train"]:
        raise InputError(
            f"{trainer.options.train_path}: has changed since this run started; start a new one"
        )
    trainer.restore(
        checkpoint.state["step"], stored.weights, checkpoint.training, str(checkpoint.path)
    )


def _stored(
    options: TaggerOptions,
    base: Optional[StoredTagger],
    is_resumed: bool,
    train: TaggedCorpus,
    has_elmo: bool,
) -> StoredTagger:
    """Return the tagger's folder as it will be, without weights."""
    elmo = Path(options.save_dir) / ELMO_FOLDER if has_elmo else None
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
    config = TaggerConfig(
        num_words=len(words),
        num_tags=len(tags),
        scheme=train.scheme.name,
        word_embedding_size=options.word_embedding_size,
        gru_size=options.gru_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
        elmo_variant=options.variant if has_elmo else None,
        elmo_unknown=options.elmo_unknown,
        elmo_dropout=options.elmo_dropout,
        num_characters=num_character_rows(characters),
        character_size=options.character_size,
        constrained_decoding=options.constrained_decoding,
    )
    return StoredTagger(config, tags, words, characters, widths, customization, {}, elmo)


def _vocabularies(
    options: TaggerOptions, train: TaggedCorpus, widths: Optional[Dict[str, str]]
) -> Tuple[Vocabulary, Optional[List[str]]]:
    """Return the words, and the characters if there are character features."""
    folder = WidthFolder(widths or {})
    counts = Counter(
        folder.fold(token) for sentence in train.sentences for token in sentence.tokens
    )
    if options.word_dict_path:
        words = [folder.fold(word) for word in Vocabulary.load(options.word_dict_path).words]
        vocabulary = Vocabulary(dict.fromkeys(words), options.word_dict_path)
    else:
        vocabulary = Vocabulary.from_counts(counts, options.min_word_count)
    if not options.char_features:
        return vocabulary, None
    characters: Counter[str] = Counter()
    for word in counts:
        characters.update(word)
    # one that occurs in a single word is left out, so that <unknown> is learned
    frequent = [character for character, count in characters.items() if count > 1]
    return vocabulary, sorted(frequent, key=lambda item: (-characters[item], item))
