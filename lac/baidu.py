"""The folders of Baidu's LAC 2 (`lac_model`, `seg_model`, `rank_model`), but for their weights.

    conf/args.ini       [TRAIN_CONFIG] model = lac, seg or rank; init_checkpoint = folder of the
                        weights, which `bilm.storage.formats.baidu_lac` reads
    conf/word.dic       id<TAB>word; OOV stands for every word that is not there
    conf/tag.dic        id<TAB>tag; of tags with the same id the last is shown
    conf/q2b.dic        character<TAB>what is looked up in its place
    conf/small_seg.dic  word count, along which lac and rank cut the text

As a tagger's vocabulary the rows of the embedding keep their ids, see `BaiduFolder.vocabulary`.
"""

import configparser
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, TypeVar

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.dictionary import is_count
from bilm.text.lines import is_whole_number, numbered_lines
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary

MODES = ("lac", "seg", "rank")
UNKNOWN_WORD = "OOV"
SPACE = "<SPACE>"  # stands for a space in a vocabulary
UNNAMED_TYPE = "word"  # of seg, whose tags are marks alone
_CONF, _ARGUMENTS, _SECTION = "conf", "args.ini", "TRAIN_CONFIG"
_WORDS, _TAGS, _FOLDS, _DICTIONARY = "word.dic", "tag.dic", "q2b.dic", "small_seg.dic"
_ID_DIGITS = 7  # at most
_Key = TypeVar("_Key", str, int)
_Value = TypeVar("_Value", str, int)


class BaiduFolder(NamedTuple):
    """What a folder of LAC says beside its weights.

    Attributes:
        path: The folder.
        mode: "lac", "seg" or "rank".
        model: Folder of the weights.
        words: The word of each row of the embedding; None: a row that no word looks up. Of a word
            that is there twice the last row counts, as in LAC.
        unknown_id: Row of the words that are not there.
        tags: The tag of each id.
        folds: The character that is looked up in place of another.
        dictionary: Words and counts along which the text is cut; None: it is cut into characters.
    """

    path: Path
    mode: str
    model: Path
    words: List[Optional[str]]
    unknown_id: int
    tags: List[str]
    folds: Dict[str, str]
    dictionary: Optional[Dict[str, int]]

    def vocabulary(self, num_rows: int) -> Vocabulary:
        """Return the words of the embedding that `extended` returns.

        A vocabulary has no spaces and no rows without a word: the space is SPACE, for which
        `widths` replaces it, and row 7 is `<ROW_7>` if it has no word. No text is cut into
        such pieces. The special tokens follow the rows; OOV remains a word, as it is in LAC.

        Args:
            num_rows: Rows of LAC's embedding.

        Raises:
            InputError: There are words without a row, or one cannot be in a vocabulary.
        """
        source = str(self.path / _CONF / _WORDS)
        if num_rows < len(self.words):
            raise InputError(f"{source}: ids go to {len(self.words) - 1}, but the embedding in "
                             f"{self.model} has {num_rows} rows")
        words = [*self.words, *[None] * (num_rows - len(self.words))]
        names = [f"<ROW_{row}>" if word is None else _shown(word)
                 for row, word in enumerate(words)]
        return Vocabulary([*names, *SPECIAL_TOKENS], source)

    def widths(self) -> Dict[str, str]:
        """Return the characters that `lac.width.WholeWordFolder` folds for this vocabulary."""
        return {form: _shown(ordinary) for form, ordinary in {" ": " ", **self.folds}.items()}

    def extended(self, embedding: np.ndarray) -> np.ndarray:
        """Return LAC's embedding with rows for the special tokens at its end.

        `<UNK>` has the values of OOV; `<S>` and `</S>`, which fill batches, are zeros.

        Args:
            embedding: Shape (rows, features).
        """
        filling = np.zeros((len(SPECIAL_TOKENS) - 1, embedding.shape[1]), embedding.dtype)
        return np.concatenate([embedding, filling, embedding[self.unknown_id][None]])


def _shown(word: str) -> str:
    return SPACE if word == " " else word


def is_baidu_folder(path: PathLike) -> bool:
    """Return whether a folder is one of Baidu's LAC 2."""
    return (Path(path) / _CONF / _ARGUMENTS).is_file()


def read_baidu_folder(path: PathLike) -> BaiduFolder:
    """Return what the folder of a model of LAC 2 says, without its weights.

    Blank lines are skipped.

    Args:
        path: Such as `lac_model` of the package LAC.

    Raises:
        InputError: It is no such folder, a file is missing, not UTF-8 or lacks an entry, or a
            line is malformed.
    """
    path, conf = Path(path), Path(path) / _CONF
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; check the spelling")
    _check_files(path, (_ARGUMENTS, _WORDS, _TAGS, _FOLDS))
    mode, model = _read_arguments(conf / _ARGUMENTS, path)
    if mode != "seg":
        _check_files(path, (_DICTIONARY,))
    words = _read_words(conf / _WORDS)
    if UNKNOWN_WORD not in words:
        raise InputError(f"{conf / _WORDS}: has no line for {UNKNOWN_WORD}, which stands for "
                         "unknown words")
    return BaiduFolder(
        path,
        mode,
        model,
        words,
        words.index(UNKNOWN_WORD),
        _read_tags(conf / _TAGS),
        _read_folds(conf / _FOLDS),
        None if mode == "seg" else _read_dictionary(conf / _DICTIONARY),
    )


def _check_files(path: Path, names: Tuple[str, ...]) -> None:
    missing = [f"{_CONF}/{name}" for name in names if not (path / _CONF / name).is_file()]
    if missing:
        raise InputError(f"{path}: no folder of Baidu's LAC 2: it has no {', '.join(missing)}")


def _read_arguments(file: Path, path: Path) -> Tuple[str, Path]:
    """Return the mode and the folder of the weights."""
    text = "\n".join(line for _, line in numbered_lines(file))
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text, source=str(file))
        mode = parser.get(_SECTION, "model")
        model = path / parser.get(_SECTION, "init_checkpoint", fallback="model")
    except configparser.Error as error:
        raise InputError(f"{file}: expected model = lac, seg or rank in [{_SECTION}]: "
                         f"{error}") from None
    if mode not in MODES:
        raise InputError(f"{file}: model must be one of {', '.join(MODES)}, not {mode!r}")
    if not model.is_dir():
        raise InputError(f"{file}: init_checkpoint: no such folder: {model}")
    return mode, model


def _entries(
    file: Path,
    separator: str,
    expected: str,
    parse: Callable[[str, str], Optional[Tuple[_Key, _Value]]],
) -> Iterator[Tuple[_Key, _Value]]:
    """Yield what `parse` makes of the two fields of each line; None: the line is malformed."""
    for number, line in numbered_lines(file):
        if not line:
            continue
        fields = line.split(separator)
        entry = parse(*fields) if len(fields) == 2 and all(fields) else None
        if entry is None:
            raise InputError(
                f"{file}, line {number}: expected {expected}, found {line[:40]!r}"
            )
        yield entry


def _read_words(file: Path) -> List[Optional[str]]:
    def parse(row: str, word: str) -> Optional[Tuple[int, str]]:
        return (int(row), word) if is_whole_number(row, _ID_DIGITS) else None

    ids: Dict[str, int] = {}
    rows: Dict[int, str] = {}
    for row, word in _entries(file, "\t", "an id, a tab and a word", parse):
        if rows.setdefault(row, word) != word:
            raise InputError(f"{file}: {rows[row]!r} and {word!r} have both the id {row}")
        ids[word] = row
    words: List[Optional[str]] = [None] * (max(ids.values(), default=-1) + 1)
    for word, row in ids.items():
        words[row] = word
    return words


def _read_tags(file: Path) -> List[str]:
    def parse(row: str, tag: str) -> Optional[Tuple[int, str]]:
        is_entry = is_whole_number(row, _ID_DIGITS) and tag.split() == [tag]
        return (int(row), tag) if is_entry else None

    tags = dict(_entries(file, "\t", "an id, a tab and a tag", parse))
    for number in range(len(tags) or 1):
        if number not in tags:
            raise InputError(f"{file}: has no tag with the id {number}")
    return [tags[number] for number in range(len(tags))]


def _read_folds(file: Path) -> Dict[str, str]:
    def parse(form: str, ordinary: str) -> Optional[Tuple[str, str]]:
        is_known = ordinary == " " or ordinary.split() == [ordinary]
        return (form, ordinary) if len(form) == 1 and is_known else None

    return dict(_entries(file, "\t", "a character, a tab and what stands for it", parse))


def _read_dictionary(file: Path) -> Dict[str, int]:
    """Return words and counts; counts of the same word are added, as in LAC's total."""
    def parse(word: str, count: str) -> Optional[Tuple[str, int]]:
        return (word, int(count)) if is_count(count) else None

    counts: Dict[str, int] = {}
    for word, count in _entries(file, " ", "a word, a space and its count, at least 1", parse):
        counts[word] = counts.get(word, 0) + count
    if not counts:
        raise InputError(f"{file}: no words there; expected a word and its count in each line")
    return counts
