"""Sets up a training run of a tagger: data, pieces, tags, biLM and folder, all checked."""

import logging
from collections import Counter
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import paddle

from bilm.errors import InputError
from bilm.network.model import BiLM
from bilm.randomness import seed_for
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import RunFolder
from bilm.storage.side_files import CONFIG_FILE
from bilm.storage.stored_model import StoredModel
from bilm.text.segmenters import SegmentationOptions, as_recorded, warn_of_segmenter
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac.analyser import Analyser, CutTexts
from lac.customization import Customization
from lac.evaluate import texts_of, warn_of_unknown_types
from lac.layer_cache import LayerCache
from lac.lookup import Lookup, num_character_rows
from lac.model_folder import ELMO_FOLDER, StoredTagger, read_tagger
from lac.network.config import TaggerConfig
from lac.network.model import Tagger
from lac.pieces import Pieces, kind_of, piece_scheme, piece_tags
from lac.pretrained import analyser_of, load_bilm, set_widened_weights
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedCorpus, check_known, load_tags
from lac.training.data import Corpora, read_corpora
from lac.training.options import TaggerOptions
from lac.training.resume import Resumable
from lac.training.trainer import TaggerTrainer
from lac.width import WidthFolder, load_table, unicode_table
from lac.word_scores import words_in

_log = logging.getLogger("lac")

_FEWEST_PIECES = 2  # of a kind in the training data, for the vocabulary of a dictionary's pieces


class Setup(NamedTuple):
    """The parts of a run.

    Attributes:
        options: The options.
        folder: The run's folder.
        corpora: The tagged text, words with tags.
        data: Checksums of the tagged text.
        trainer: A trainer, at the step from which the run continues.
        stored: The tagger's folder as it will be written, except the weights.
        analyser: Cuts and tags texts with the tagger.
        dev_texts: The dev data as the tagger cuts it from raw text.
        dev_cache: ELMo's layers of these texts, or None.
        state: The content of the checkpoint's state.json; empty for a new run.
    """

    options: TaggerOptions
    folder: RunFolder
    corpora: Corpora
    data: Dict[str, str]
    trainer: TaggerTrainer
    stored: StoredTagger
    analyser: Analyser
    dev_texts: CutTexts
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
        sentences: List[List[str]],
        options: TaggerOptions,
    ) -> Optional[LayerCache]:
        """Return the layers of sentences; None where the tagger has no frozen biLM.

        Args:
            name: "training data" or "dev data".
            tagger: The tagger.
            lookup: Turns sentences into its ids.
            sentences: The pieces of the sentences.
            options: The options of the run.

        Raises:
            InputError: There is no room on the disk.
        """
        if tagger.elmo is None or options.finetune_elmo:
            return None
        key = options.elmo, options.variant, options.elmo_unknown, options.pieces, len(sentences)
        if name not in self._caches or self._caches[name][0] != key:
            cache = LayerCache(
                tagger.elmo, lookup, sentences, options.cache_megabytes, options.save_dir,
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
    elmo = _load_bilm(options, base, checkpoint is not None)
    stored, train = _stored(options, base, checkpoint is not None, corpora, elmo)
    _check_tags(options, corpora, train, stored)
    if elmo is not None:
        _keep_bilm(folder, *elmo, checkpoint is not None)
    paddle.seed(seed_for("initial weights", options.random_seed))
    tagger = Tagger(stored.config, None if elmo is None else elmo[0], options.finetune_elmo)
    analyser = analyser_of(tagger, stored)
    lookup = analyser.predictor.lookup
    dev_texts = analyser.cut_texts(texts_of(corpora.dev))
    caches = caches or Caches()
    pieces = [sentence.tokens for sentence in train.sentences]
    cache = caches.get("training data", tagger, lookup, pieces, options)
    dev_cache = caches.get("dev data", tagger, lookup, dev_texts.tokens(), options)
    trainer = TaggerTrainer(
        tagger, train.sentences, lookup, stored.tags, options, cache, train.sizes
    )
    if base is not None and checkpoint is not None:
        _restore(trainer, base, checkpoint, data)
    elif base is not None:
        set_widened_weights(tagger, base.weights, options.load_pretraining_params)
    analyser.predictor.update()
    state = {} if checkpoint is None else checkpoint.state
    return Setup(
        options, folder, corpora, data, trainer, stored, analyser, dev_texts, dev_cache, state
    )


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
    options: TaggerOptions, base: Optional[StoredTagger], is_resumed: bool
) -> Optional[Tuple[BiLM, StoredModel]]:
    """Return the biLM without its softmax, and all that is stored with it; None without ELMo."""
    own = base.elmo if base is not None else None
    if own is not None and options.elmo_path is not None and not is_resumed:
        raise InputError(f"--elmo: {options.load_pretraining_params} has ELMo already")
    path = own or options.elmo_path
    if path is None:
        if options.finetune_elmo:
            raise InputError(f"--finetune_elmo: {options.load_pretraining_params} has no ELMo")
        return None
    vocab_path = options.elmo_vocab_path if own is None else None
    source = open_model(path, vocab_path=vocab_path, moments=False)
    if source.vocabulary is None and source.config.char_cnn is None:
        raise InputError(f"{path}: has no vocab.txt; name the file with --elmo_vocab_path")
    return load_bilm(source, path), source


def _keep_bilm(folder: RunFolder, bilm: BiLM, source: StoredModel, is_resumed: bool) -> None:
    """Write the biLM into the run's folder, from which checkpoints link its files."""
    path = folder.path / ELMO_FOLDER
    if not (is_resumed and (path / CONFIG_FILE).is_file()):
        bilm.save_pretrained(path, source.vocabulary, source.segmentation)


def _check_tags(
    options: TaggerOptions, corpora: Corpora, train: TaggedCorpus, stored: StoredTagger
) -> None:
    """Check that the data's tags are the tagger's, and those are written in its scheme."""
    decided_by = options.load_pretraining_params or options.label_dict_path
    check_known(train, stored.tags, decided_by, options.train_path)
    train.scheme.check(stored.tags, options.label_dict_path or options.train_path)
    warn_of_unknown_types(corpora.dev, stored, options.dev_path)


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
    corpora: Corpora,
    elmo: Optional[Tuple[BiLM, StoredModel]],
) -> Tuple[StoredTagger, TaggedCorpus]:
    """Return the tagger's folder as it will be, without weights, and the training data's pieces."""
    train = corpora.train
    elmo_path = Path(options.save_dir) / ELMO_FOLDER if elmo is not None else None
    customization = base and base.customization
    if options.customization and not is_resumed:
        customization = Customization.load(options.customization)
    if base is not None:
        config = base.config
        if elmo is not None and base.elmo is None:
            config = replace(config, **_elmo_config(options, base.segmentation, elmo[1]))
        target = TagScheme(config.scheme)
        stored = base._replace(
            config=config, elmo=elmo_path, weights={}, customization=customization,
        )
        if not is_resumed:
            known = {*(base.training_words or ()), *words_in(train)}
            stored = stored._replace(training_words=sorted(known))
        return stored, _encoded(train, stored.pieces(), target, options.train_path)
    widths = None
    if options.fold_width:
        path = options.word_rep_dict_path
        widths = load_table(path) if path else unicode_table()
    segmentation = _segmentation(options, elmo and elmo[1])
    target = piece_scheme(train.scheme, options.pieces)
    words = _vocabulary(options, train, segmentation, WidthFolder(widths or {}))
    characters = _characters(words) if options.char_features else None
    tags = load_tags(options.label_dict_path) if options.label_dict_path else train.tags
    if options.pieces != "words":
        train.scheme.check(tags, options.label_dict_path or options.train_path)
        tags = piece_tags(tags, train.scheme, target)
    config = TaggerConfig(
        num_words=len(words),
        num_tags=len(tags),
        scheme=target.name,
        word_embedding_size=options.word_embedding_size,
        gru_size=options.gru_size,
        num_layers=options.num_layers,
        dropout=options.dropout,
        num_characters=num_character_rows(characters),
        character_size=options.character_size,
        constrained_decoding=options.constrained_decoding,
        **(_elmo_config(options, segmentation, elmo[1]) if elmo is not None else {}),
    )
    stored = StoredTagger(
        config, tags, words, characters, widths, customization, {}, elmo_path, segmentation,
        sorted(words_in(train)),
    )
    return stored, _encoded(train, stored.pieces(), target, options.train_path)


def _elmo_config(
    options: TaggerOptions, segmentation: SegmentationOptions, bilm: StoredModel
) -> Dict[str, Any]:
    """Return the fields of TaggerConfig that say what ELMo is."""
    reads = options.elmo_reads
    if reads == "auto":
        bilm_segmenter = (bilm.segmentation or {}).get("segmenter")
        is_same = kind_of(segmentation) in ("words", bilm_segmenter)
        reads = "pieces" if is_same else "words"
    if reads == "words":
        warn_of_segmenter(bilm.segmentation, as_recorded(bilm.segmentation))
    return {
        "elmo_variant": options.variant, "elmo_unknown": options.elmo_unknown,
        "elmo_dropout": options.elmo_dropout, "elmo_reads": reads,
    }


def _segmentation(options: TaggerOptions, bilm: Optional[StoredModel]) -> SegmentationOptions:
    """Return how a new tagger cuts text."""
    if options.pieces == "characters":
        return SegmentationOptions("characters", split_latin=options.split_latin)
    if options.pieces == "dictionary":
        return SegmentationOptions(
            "dictionary", dictionary=options.dictionary,
            dictionary_weights=options.dictionary_weights,
        )
    recorded = bilm.segmentation if bilm is not None else None
    if not options.segmenter and recorded and recorded.get("segmenter") in ("jieba", "rjieba"):
        chosen = replace(as_recorded(recorded, options.user_dict or None), normalize="none")
        warn_of_segmenter(recorded, chosen)
        return chosen
    return SegmentationOptions(options.segmenter or "jieba", options.user_dict or None)


def _encoded(
    corpus: TaggedCorpus, pieces: Pieces, target: TagScheme, path: str
) -> TaggedCorpus:
    """Return tagged words as tagged pieces; say how many words no pieces can give."""
    if pieces.kind == "words":
        return corpus._replace(scheme=target)
    encoded = [pieces.encode(each, corpus.scheme, target) for each in corpus.sentences]
    lost = sum(each.lost for each in encoded)
    if lost:
        total = sum(len(sentence.tokens) for sentence in corpus.sentences)
        _log.info(
            f"{path}: {lost} of {total} words begin or end inside a piece ({lost / total:.2%}); "
            "the tagger cannot find such words"
        )
    sentences = [each.sentence for each in encoded if each.sentence.tokens]
    kept = [bool(each.sentence.tokens) for each in encoded]
    ends = accumulate(corpus.sizes)
    sizes = [sum(kept[end - size : end]) for end, size in zip(ends, corpus.sizes)]
    return TaggedCorpus(sentences, target, sizes)


def _vocabulary(
    options: TaggerOptions, train: TaggedCorpus, segmentation: SegmentationOptions,
    folder: WidthFolder,
) -> Vocabulary:
    """Return the tagger's own vocabulary: folded pieces."""
    if options.word_dict_path:
        words = [folder.fold(word) for word in Vocabulary.load(options.word_dict_path).words]
        return Vocabulary(dict.fromkeys(words), options.word_dict_path)
    if options.pieces == "words":
        counts = Counter(
            folder.fold(token) for sentence in train.sentences for token in sentence.tokens
        )
        return Vocabulary.from_counts(counts, options.min_word_count)
    pieces = Pieces(segmentation)
    counts = Counter(
        folder.fold(piece)
        for text in texts_of(train) for piece in pieces.cut(text) if not piece.isspace()
    )
    if options.pieces == "dictionary":
        # a longer piece that is rare is split, as an unknown one will be
        fewest = max(options.min_word_count, _FEWEST_PIECES)
        for piece, count in list(counts.items()):
            if len(piece) > 1 and count < fewest:
                del counts[piece]
                for character in piece:
                    counts[character] += count
    return Vocabulary.from_counts(counts, options.min_word_count)


def _characters(vocabulary: Vocabulary) -> List[str]:
    """Return the characters of the character features, most frequent first."""
    characters: Counter[str] = Counter()
    for word in vocabulary.words:
        if word not in SPECIAL_TOKENS:
            characters.update(word)
    # one that occurs in a single word is left out, so that <unknown> is learned
    frequent = [character for character, count in characters.items() if count > 1]
    return sorted(frequent, key=lambda item: (-characters[item], item))
