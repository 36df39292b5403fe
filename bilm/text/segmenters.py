"""Segmenters, which split a sentence into words, and their options."""

import logging
import os
import re
import unicodedata
import warnings
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Callable, Iterable, List, Optional

from bilm.errors import InputError
from bilm.files import sha256_of
from bilm.text.dictionary import WEIGHTS, Dictionary
from bilm.text.lines import decode_line

_log = logging.getLogger("bilm")

SEGMENTERS = ("jieba", "rjieba", "space", "characters", "dictionary")
PIECE_SEGMENTERS = ("characters", "dictionary")  # whose pieces are parts of words, or words
WORD_SEGMENTERS = ("jieba", "rjieba")  # packages
NORMALIZATIONS = ("none", "nfkc")

_TEXTS = (str, os.PathLike)
_SENTENCE_OPTIONS = ("split_semicolons", "split_newlines")

# jieba takes time that grows with the square of a run of unknown characters, so it gets long
# sentences in pieces: cut after punctuation, which is in no word, or if need be anywhere.
_JIEBA_PIECE = re.compile(r".{1,1999}[\s，。、；：？！]|.{1,2000}", re.DOTALL)

# Runs of Latin letters and digits of either width, and single characters.
_CHARACTER = re.compile(r"[0-9A-Za-zÀ-ÖØ-öø-ɏ０-９Ａ-Ｚａ-ｚ]+|.", re.DOTALL)


@dataclass(frozen=True)
class SegmentationOptions:
    """Options that determine where sentences and words end.

    Args:
        segmenter: "jieba", "rjieba" (much faster, nearly the same words), "space" (the
            words are already separated), "characters", or "dictionary" (the most probable path
            through a dictionary, see `bilm.text.dictionary`).
        dictionary: File of words and counts for the segmenter "dictionary"; "jieba": the
            dictionary that comes with jieba.
        dictionary_weights: One of `bilm.text.dictionary.WEIGHTS`.
        split_latin: Whether the segmenter "characters" splits runs of Latin letters and digits.
        user_dict: File with more words for jieba, one a line: word, count and tag (both
            optional), separated by spaces.
        hmm: Whether jieba and rjieba guess words that are not in their dictionary.
        normalize: "nfkc" or "none": the Unicode normalization of each sentence.
        split_semicolons: Whether ； ends a sentence.
        split_newlines: Whether every line end ends a sentence.

    Raises:
        InputError: A value is not allowed, or an option is given that the segmenter does not use.
    """

    segmenter: str = "jieba"
    user_dict: Optional[str] = None
    hmm: bool = True
    normalize: str = "none"
    split_semicolons: bool = False
    split_newlines: bool = False
    dictionary: Optional[str] = None
    dictionary_weights: str = "counts"
    split_latin: bool = False

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            is_left_out = value is None and item.default is None
            if item.type is bool and type(value) is not bool:
                raise InputError(f"{item.name} must be true or false, not {value!r}")
            if item.type is not bool and not (is_left_out or isinstance(value, _TEXTS)):
                raise InputError(f"{item.name} must be a string, not {value!r}")
        for name, allowed in (
            ("segmenter", SEGMENTERS), ("normalize", NORMALIZATIONS),
            ("dictionary_weights", WEIGHTS),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        if self.user_dict is not None and self.segmenter != "jieba":
            raise InputError(
                f"a user dictionary works with jieba only, not with {self.segmenter}; "
                "leave --user_dict out or pass --segmenter jieba"
            )
        if (self.dictionary is not None) != (self.segmenter == "dictionary"):
            raise InputError(
                "--segmenter dictionary and --dictionary FILE go together (FILE: a word and its "
                "count a line, or jieba for the dictionary of jieba)"
            )
        if self.split_latin and self.segmenter != "characters":
            raise InputError("--split_latin goes with --segmenter characters")
        if self.dictionary_weights != "counts" and self.segmenter != "dictionary":
            raise InputError("--dictionary_weights goes with --segmenter dictionary")
        if not self.hmm and self.segmenter not in WORD_SEGMENTERS:
            raise InputError(
                "--no_hmm goes with --segmenter jieba or rjieba; no other one guesses words"
            )

    def describe(self) -> dict:
        """Return the content of segmentation.json, except the counts.

        Raises:
            InputError: The segmenter is not installed, or the user dictionary is no
                UTF-8 file.
        """
        if self.user_dict is not None:
            _check_user_dictionary(self.user_dict)
        is_package = self.segmenter in WORD_SEGMENTERS
        if is_package:
            import_quietly(self.segmenter)
        options = {
            "hmm": self.hmm if is_package else None,
            "normalize": self.normalize,
            "split_semicolons": self.split_semicolons,
            "split_newlines": self.split_newlines,
        }
        if self.segmenter == "characters":
            options["split_latin"] = self.split_latin
        if self.segmenter == "dictionary":
            options["dictionary_weights"] = self.dictionary_weights
        dictionary = self.dictionary_file()
        return {
            "segmenter": self.segmenter,
            "version": metadata.version(self.segmenter) if is_package else None,
            "dictionary_sha256": None if dictionary is None else sha256_of(dictionary),
            "user_dictionary_sha256": sha256_of(self.user_dict) if self.user_dict else None,
            "options": options,
        }

    def dictionary_file(self) -> Optional[Path]:
        """Return the file of the words that the segmenter knows; None: it reads none.

        Raises:
            InputError: jieba is not installed, or there is no such file.
        """
        if self.segmenter == "jieba" or self.dictionary == "jieba":
            return _jieba_dictionary_file()
        if self.dictionary is None:
            return None
        if not os.path.isfile(self.dictionary):
            raise InputError(f"no such file: {self.dictionary}; check --dictionary")
        return Path(self.dictionary)


def as_recorded(
    recorded: Optional[dict], user_dict: Optional[str] = None, dictionary: Optional[str] = None
) -> SegmentationOptions:
    """Return the options that cut text as a model's training text was cut; by jieba if not known.

    Args:
        recorded: The model's segmentation.json; None: not known.
        user_dict: File of a user dictionary of jieba.
        dictionary: File of the dictionary, for the segmenter "dictionary".

    Raises:
        InputError: The segmenter is not known, or needs a dictionary that is not given.
    """
    if recorded is None or recorded.get("segmenter") == "space":
        recorded = {}
    options = recorded.get("options")
    options = options if isinstance(options, dict) else {}
    hmm = options.get("hmm")
    return SegmentationOptions(
        segmenter=recorded.get("segmenter", "jieba"),
        user_dict=user_dict,
        hmm=True if hmm is None else hmm,
        normalize=options.get("normalize", "none"),
        dictionary=dictionary,
        dictionary_weights=options.get("dictionary_weights", "counts"),
        split_latin=options.get("split_latin", False),
    )


def warn_of_segmenter(recorded: Optional[dict], chosen: SegmentationOptions) -> None:
    """Warn where text is not cut as a model's training text was.

    Args:
        recorded: The model's segmentation.json; None: not known.
        chosen: The result of `as_recorded`, or other options of the same segmenter. Where
            sentences end is not compared.

    Raises:
        InputError: The segmenter is not installed, or a dictionary cannot be read.
    """
    if recorded is None or recorded.get("segmenter") == "space":
        _log.warning(
            "it is not known what segmented the model's training text; jieba segments this one"
        )
        return
    description = chosen.describe()
    options = recorded.get("options")
    before = {**recorded, **(options if isinstance(options, dict) else {})}
    compared = {
        **{name: description[name]
           for name in ("version", "dictionary_sha256", "user_dictionary_sha256")},
        **{name: value for name, value in description["options"].items()
           if name in before and name not in _SENTENCE_OPTIONS},
    }
    for name, value in compared.items():
        if before.get(name) != value:
            _log.warning(
                f"the model's training text was segmented with another {name}: "
                f"{before.get(name)}, here {value}"
            )


def load_segmenter(options: SegmentationOptions) -> Callable[[str], Iterable[str]]:
    """Return a function that splits a sentence into words, white space among them.

    jieba's dictionary is read from its file, not from the copy that jieba keeps in the
    folder for temporary files, so that it matches the recorded checksum. Nothing is logged, and
    words added to `jieba` itself have no effect. (All of jieba's tokenizers share the words that
    a dictionary forces apart; this clears them.)

    Raises:
        InputError: The segmenter is not installed, or its dictionary cannot be read.
    """
    if options.segmenter == "space":
        return str.split
    if options.segmenter == "characters":
        return list if options.split_latin else _CHARACTER.findall
    if options.segmenter == "dictionary":
        path = str(options.dictionary_file())
        return Dictionary.load(path, options.dictionary_weights).cut
    if options.segmenter == "rjieba":
        return partial(import_quietly("rjieba").Jieba().cut, hmm=options.hmm)
    jieba = import_quietly("jieba")
    tokenizer = jieba.Tokenizer()
    tokenizer.FREQ, tokenizer.total = _jieba_dictionary()
    tokenizer.initialized = True
    jieba.finalseg.Force_Split_Words.clear()  # shared by all tokenizers, left by another one
    if options.user_dict is not None:
        tokenizer.FREQ = dict(tokenizer.FREQ)
        with open(options.user_dict, "rb") as file:
            tokenizer.load_userdict(file)

    def cut(sentence):
        for piece in _JIEBA_PIECE.findall(sentence):
            yield from tokenizer.cut(piece, HMM=options.hmm)

    return cut


def segment_sentence(
    sentence: str, cut: Callable[[str], Iterable[str]], normalize: str = "none"
) -> List[str]:
    """Return the words of `sentence`, none empty or with white space inside.

    Special tokens are not changed, see `segment_files`.

    Args:
        sentence: Raw text.
        cut: A function that `load_segmenter` returned.
        normalize: "nfkc" or "none".
    """
    if normalize == "nfkc":
        sentence = unicodedata.normalize("NFKC", sentence)
    return " ".join(cut(sentence)).split()


def import_quietly(name: str) -> ModuleType:
    """Import a module of a segmenter, such as "jieba.posseg", without warnings.

    Raises:
        InputError: Its package is not installed.
        ModuleNotFoundError: A dependency of the package is not installed.
    """
    package = name.partition(".")[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about jieba's old code
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise InputError(f"{package} is not installed: pip install {package}") from None


@lru_cache(maxsize=1)
def _jieba_dictionary():
    with open(_jieba_dictionary_file(), "rb") as file:
        return import_quietly("jieba").Tokenizer.gen_pfdict(file)


def _jieba_dictionary_file():
    return Path(str(import_quietly("jieba").__file__)).with_name("dict.txt")


def _check_user_dictionary(path):
    if not os.path.isfile(path):
        raise InputError(f"no such file: {path}; check --user_dict")
    with open(path, "rb") as file:  # as jieba reads it: never decompressed
        for number, line in enumerate(file, start=1):
            if "\t" in decode_line(line, path, number).strip():
                raise InputError(
                    f"{path}, line {number}: found a tab; separate word, count and tag by spaces"
                )
