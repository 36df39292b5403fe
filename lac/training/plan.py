"""What tagger a run trains: pieces, vocabulary, tags and sizes, before there are weights."""

import logging
from collections import Counter
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from bilm.errors import InputError
from bilm.storage.stored_model import StoredModel
from bilm.text.segmenters import (
    WORD_SEGMENTERS,
    SegmentationOptions,
    as_recorded,
    warn_of_segmenter,
)
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from lac.customization import Customization
from lac.evaluate import texts_of
from lac.lookup import num_character_rows
from lac.model_folder import ELMO_FOLDER, StoredTagger
from lac.network.config import TaggerConfig
from lac.piece_files import looks_up_normalized
from lac.pieces import Pieces, kind_of, piece_scheme, piece_tags
from lac.tag_schemes import TagScheme
from lac.tagged_files import TaggedCorpus, load_tags
from lac.training.options import TaggerOptions
from lac.width import WidthFolder, load_table, unicode_table
from lac.word_scores import words_in

_log = logging.getLogger("lac")

_FEWEST_PIECES = 2  # of a kind in the training data, for the vocabulary of a dictionary's pieces


def planned_tagger(
    options: TaggerOptions,
    base: Optional[StoredTagger],
    is_resumed: bool,
    train: TaggedCorpus,
    bilm: Optional[StoredModel],
) -> StoredTagger:
    """Return the folder of the tagger that a run trains, but for its weights.

    Args:
        options: The options.
        base: The tagger that is trained further, or None.
        is_resumed: Whether it is a checkpoint of this run.
        train: The training data, words with tags.
        bilm: The biLM that ELMo mixes, or None.

    Raises:
        InputError: The options do not fit the data or the biLM.
    """
    elmo = Path(options.save_dir) / ELMO_FOLDER if bilm is not None else None
    customization = base and base.customization
    if options.customization and not is_resumed:
        customization = Customization.load(options.customization)
    if base is None:
        stored = _new_tagger(options, train, bilm)
    elif is_resumed:
        stored = base
    else:
        stored = _further_trained(options, base, train, bilm)
    return stored._replace(elmo=elmo, weights={}, customization=customization)


def _further_trained(
    options: TaggerOptions, base: StoredTagger, train: TaggedCorpus, bilm: Optional[StoredModel]
) -> StoredTagger:
    if bilm is not None and base.elmo is None:
        elmo_config = _elmo_config(options, base.segmentation, bilm)
        base = base._replace(config=replace(base.config, **elmo_config))
    if base.training_words is not None:
        base = base._replace(training_words=sorted({*base.training_words, *words_in(train)}))
    return base


def _new_tagger(
    options: TaggerOptions, train: TaggedCorpus, bilm: Optional[StoredModel]
) -> StoredTagger:
    widths = None
    if options.fold_width:
        path = options.word_rep_dict_path
        widths = load_table(path) if path else unicode_table()
    segmentation = _segmentation(options, bilm)
    target = piece_scheme(train.scheme, options.pieces)
    counts = _piece_counts(train, segmentation, WidthFolder(widths or {}))
    words = _vocabulary(options, counts, WidthFolder(widths or {}))
    characters = None
    if options.char_features:
        # most characters are in few pieces of a dictionary, but those may occur often
        known = {word: 1 for word in words.words if word not in SPECIAL_TOKENS}
        characters = _characters(counts if options.pieces == "dictionary" else known)
    tags = load_tags(options.label_dict_path) if options.label_dict_path else train.tags
    train.scheme.check(tags, options.label_dict_path or options.train_path)
    if options.pieces != "words":
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
        **({} if bilm is None else _elmo_config(options, segmentation, bilm)),
    )
    return StoredTagger(
        config, tags, words, characters, widths, None, {}, None, segmentation,
        sorted(words_in(train)),
    )


def _elmo_config(
    options: TaggerOptions, segmentation: SegmentationOptions, bilm: StoredModel
) -> Dict[str, Any]:
    """Return the fields of TaggerConfig that say what ELMo is."""
    reads = options.elmo_reads
    if reads == "auto":
        bilm_segmenter = (bilm.segmentation or {}).get("segmenter")
        is_same = kind_of(segmentation) in ("words", bilm_segmenter)
        reads = "pieces" if is_same else "words"
    _check_segmenter(segmentation, bilm.segmentation, reads)
    return {
        "elmo_variant": options.variant, "elmo_unknown": options.elmo_unknown,
        "elmo_dropout": options.elmo_dropout, "elmo_reads": reads,
    }


def _check_segmenter(
    segmentation: SegmentationOptions, recorded: Optional[dict], reads: str
) -> None:
    """Warn where ELMo will not read what its biLM was trained on; refuse where it cannot."""
    segmenter = (recorded or {}).get("segmenter")
    if reads == "words" and segmenter == "dictionary":
        raise InputError(
            "--elmo: the biLM was trained on the pieces of a dictionary, which it does not hold: "
            "train a tagger with --pieces dictionary, or pass --elmo_reads pieces"
        )
    if reads == "words":
        warn_of_segmenter(recorded, as_recorded(recorded))
    elif segmenter != segmentation.segmenter:
        _log.warning(
            f"ELMo reads pieces ({segmentation.segmenter}), but the text of its biLM was cut by "
            f"{segmenter or 'an unknown segmenter'}"
        )
    else:
        is_normalized = looks_up_normalized(segmentation, recorded)
        normalize = "nfkc" if is_normalized else segmentation.normalize
        warn_of_segmenter(recorded, replace(segmentation, normalize=normalize))


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
    if not options.segmenter and recorded and recorded.get("segmenter") in WORD_SEGMENTERS:
        return replace(as_recorded(recorded, options.user_dict or None), normalize="none")
    return SegmentationOptions(options.segmenter or "jieba", options.user_dict or None)


def encoded(corpus: TaggedCorpus, stored: StoredTagger, path: str) -> TaggedCorpus:
    """Return tagged words as the tagged pieces of a tagger; say how many words no pieces can give.

    Args:
        corpus: Words with tags.
        stored: The tagger.
        path: Where the words come from.

    Raises:
        InputError: See `StoredTagger.pieces`.
    """
    pieces, target = stored.pieces(), TagScheme(stored.config.scheme)
    if pieces.kind == "words":
        return corpus._replace(scheme=target)
    results = [pieces.encode(each, corpus.scheme, target) for each in corpus.sentences]
    lost = sum(each.lost for each in results)
    if lost:
        total = sum(len(sentence.tokens) for sentence in corpus.sentences)
        _log.info(
            f"{path}: {lost} of {total} words begin or end inside a piece ({lost / total:.2%}); "
            "the tagger cannot find such words"
        )
    sentences = [each.sentence for each in results if each.sentence.tokens]
    kept = [bool(each.sentence.tokens) for each in results]
    ends = accumulate(corpus.sizes)
    sizes = [sum(kept[end - size : end]) for end, size in zip(ends, corpus.sizes)]
    return TaggedCorpus(sentences, target, sizes)


def _piece_counts(
    train: TaggedCorpus, segmentation: SegmentationOptions, folder: WidthFolder
) -> "Counter[str]":
    """Return how often each folded piece occurs in the training data."""
    if kind_of(segmentation) == "words":
        return Counter(
            folder.fold(token) for sentence in train.sentences for token in sentence.tokens
        )
    pieces = Pieces(segmentation)
    return Counter(
        folder.fold(piece)
        for text in texts_of(train) for piece in pieces.cut(text) if not piece.isspace()
    )


def _vocabulary(
    options: TaggerOptions, counts: "Counter[str]", folder: WidthFolder
) -> Vocabulary:
    """Return the tagger's own vocabulary, folded pieces, from those of the training data."""
    if options.word_dict_path:
        words = [folder.fold(word) for word in Vocabulary.load(options.word_dict_path).words]
        return Vocabulary(dict.fromkeys(words), options.word_dict_path)
    if options.pieces == "dictionary":
        # a longer piece that is rare is split, as an unknown one will be
        fewest = max(options.min_word_count, _FEWEST_PIECES)
        counts = counts.copy()
        for piece, count in list(counts.items()):
            if len(piece) > 1 and count < fewest:
                del counts[piece]
                for character in piece:
                    counts[character] += count
    return Vocabulary.from_counts(counts, options.min_word_count)


def _characters(pieces: Mapping[str, int]) -> List[str]:
    """Return the characters of the character features, most frequent first.

    Args:
        pieces: Pieces, and how many times the characters of each are counted.
    """
    characters: Counter[str] = Counter()
    for piece, count in pieces.items():
        for character in piece:
            characters[character] += count
    # one that occurs once is left out, so that <unknown> is learned
    frequent = [character for character, count in characters.items() if count > 1]
    return sorted(frequent, key=lambda item: (-characters[item], item))
