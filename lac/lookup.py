"""From pieces to the ids of a tagger and its ELMo."""

import unicodedata
from functools import lru_cache
from itertools import accumulate
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from bilm.errors import InputError
from bilm.text.characters import pad_characters
from bilm.text.vocabulary import Vocabulary
from lac.width import WidthFolder

PLACES = ("middle", "start", "end", "whole")  # of a piece in a word

PAD_CHARACTER, UNKNOWN_CHARACTER = 0, 1
_FIRST_CHARACTER = 2  # id of the first known one
_REMEMBERED = 1 << 14  # sentences whose words for ELMo are kept from epoch to epoch,
_MAX_REMEMBERED = 200  # characters of the longest of them
_MAX_CHARACTERS = 8  # of a word; from a longer one, the first and the last half


class TokenIds(NamedTuple):
    """The ids of a batch of sentences, padded.

    Attributes:
        words: Pieces of the tagger, int64, shape (batch, steps).
        lengths: Pieces in each sentence, int64, shape (batch,).
        elmo: Ids for `bilm.ELMo`, int64, shape (batch, words), or (batch, words, parts or
            characters); None for a tagger without ELMo. Its words are the pieces, unless ELMo
            has words of its own.
        characters: int64, shape (batch, steps, characters); None for a tagger without character
            features.
        elmo_lengths: Words in each sentence of `elmo`, int64, shape (batch,); None where they are
            the pieces.
        elmo_places: For each piece the number of the word of `elmo` that holds its first
            character, and its place in the word, one of PLACES; int64, shape (batch, steps, 2);
            None where words are pieces.
    """

    words: np.ndarray
    lengths: np.ndarray
    elmo: Optional[np.ndarray]
    characters: Optional[np.ndarray]
    elmo_lengths: Optional[np.ndarray] = None
    elmo_places: Optional[np.ndarray] = None


def num_character_rows(characters: Optional[Sequence[str]]) -> int:
    """Return the number of rows of the embedding of some characters; 0 for None."""
    return 0 if characters is None else len(characters) + _FIRST_CHARACTER


class ElmoVocabulary:
    """The words of a biLM, which are known in any width.

    A word that the biLM does not know is replaced by the most frequent of its words that differ
    by width only, if there is one.

    Args:
        vocabulary: The biLM's vocabulary, most frequent words first.
        folder: Folds widths; None: words are looked up as they are.
        is_normalized: Whether the biLM's text was normalized (NFKC).
    """

    def __init__(
        self, vocabulary: Vocabulary, folder: Optional[WidthFolder], is_normalized: bool = False
    ):
        self.vocabulary = vocabulary
        self._folder, self._is_normalized = folder, is_normalized
        self._by_folded: Dict[str, str] = {}
        if folder is not None:
            for word in vocabulary.words:
                self._by_folded.setdefault(folder.fold(word), word)

    def known_form(self, word: str) -> str:
        """Return the biLM's form of `word`, or `word` itself if the biLM has none."""
        if self._is_normalized and word not in self.vocabulary:
            word = unicodedata.normalize("NFKC", word)
        if self._folder is None or word in self.vocabulary:
            return word
        return self._by_folded.get(self._folder.fold(word), word)


class Lookup:
    """Turns sentences into ids.

    Args:
        words: The tagger's own vocabulary, of folded words if there is a folder.
        folder: Folds widths; None: words are looked up as they are.
        characters: Characters of the character features, in the order of their ids; None: no
            character features.
        elmo_vocabulary: Vocabulary of the biLM; None without ELMo, or if the biLM reads
            characters.
        elmo_characters: Number of character ids of a word, for a biLM that reads characters;
            otherwise 0.
        elmo_unknown: See `TaggerConfig`.
        elmo_cut: Cuts a sentence into the words that ELMo reads; None: it reads the pieces.
        elmo_is_normalized: Whether words that ELMo does not know are normalized (NFKC).
    """

    def __init__(
        self,
        words: Vocabulary,
        folder: Optional[WidthFolder],
        characters: Optional[Sequence[str]] = None,
        elmo_vocabulary: Optional[Vocabulary] = None,
        elmo_characters: int = 0,
        elmo_unknown: str = "unk",
        elmo_cut: Optional[Callable[[str], Iterable[str]]] = None,
        elmo_is_normalized: bool = False,
    ):
        self.words, self.folder, self.characters = words, folder, characters
        self._character_ids = {
            character: number
            for number, character in enumerate(characters or (), start=_FIRST_CHARACTER)
        }
        self._elmo = (
            None if elmo_vocabulary is None
            else ElmoVocabulary(elmo_vocabulary, folder, elmo_is_normalized)
        )
        self._elmo_characters, self._elmo_unknown = elmo_characters, elmo_unknown
        self._elmo_cut = elmo_cut
        self._remembered_words = lru_cache(_REMEMBERED)(self._words_of_text)

    def fold(self, tokens: Iterable[str]) -> List[str]:
        """Return the words in the widths of the tagger's vocabulary."""
        return list(tokens) if self.folder is None else [self.folder.fold(word) for word in tokens]

    def knows(self, piece: str) -> bool:
        """Return whether the tagger, or ELMo where it reads pieces, knows a piece."""
        return self.fold([piece])[0] in self.words or (
            self._elmo_cut is None and self.elmo_knows(piece)
        )

    def elmo_knows(self, word: str) -> bool:
        """Return whether ELMo knows a word; a biLM that reads characters knows every word."""
        if self._elmo is not None:
            return self._elmo.known_form(word) in self._elmo.vocabulary
        return bool(self._elmo_characters)

    def __call__(self, sentences: Sequence[Sequence[str]]) -> TokenIds:
        """Return the ids of sentences, which are lists of pieces, none empty."""
        folded = [self.fold(tokens) for tokens in sentences]
        words, lengths = self.words.pad(folded)
        characters = None
        if self.characters is not None:
            characters = np.zeros((*words.shape, _MAX_CHARACTERS), np.int64)
            for row, tokens in enumerate(folded):
                for step, token in enumerate(tokens):
                    ids = self._ids_of_characters(token)
                    characters[row, step, : len(ids)] = ids
        elmo, elmo_lengths, places = None, None, None
        if self._elmo is not None or self._elmo_characters:
            elmo_words = [self.elmo_words(tokens) for tokens in sentences]
            elmo = self.elmo_ids(elmo_words)
            if self._elmo_cut is not None:
                elmo_lengths = np.array([len(each) for each in elmo_words], np.int64)
                places = np.zeros((*words.shape, 2), np.int64)
                for row, pieces, own in zip(places, sentences, elmo_words):
                    row[: len(pieces)] = places_in_words(pieces, own)
        return TokenIds(words, lengths, elmo, characters, elmo_lengths, places)

    def elmo_words(self, tokens: Sequence[str]) -> List[str]:
        """Return the words that ELMo reads of a sentence of pieces, without white space.

        Runs of letters and digits that stand side by side were apart in the text.
        """
        if self._elmo_cut is None:
            return list(tokens)
        text = ""
        for token in tokens:
            is_long = len(token) > 1 or _is_latin(text[-2:-1] or " ")
            if is_long and _is_latin(text[-1:] or " ") and _is_latin(token[0]):
                text += " "
            text += token
        words = self._remembered_words if len(text) <= _MAX_REMEMBERED else self._words_of_text
        return list(words(text)) or [text]

    def _words_of_text(self, text: str) -> Tuple[str, ...]:
        cut = self._elmo_cut(text) if self._elmo_cut is not None else ()
        return tuple(word for word in cut if not word.isspace())

    def elmo_ids(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return ELMo's ids of sentences of its words; see `TokenIds`.

        Raises:
            InputError: The lookup is that of a tagger without ELMo.
        """
        if self._elmo_characters:
            return pad_characters(sentences, self._elmo_characters)[0]
        if self._elmo is None:
            raise InputError("the tagger has no ELMo")
        known = [[self._elmo.known_form(word) for word in tokens] for tokens in sentences]
        if self._elmo_unknown == "characters":
            return self._elmo.vocabulary.pad_pieces(known)[0]
        return self._elmo.vocabulary.pad(known)[0]

    def _ids_of_characters(self, word: str) -> List[int]:
        half = _MAX_CHARACTERS // 2
        if len(word) > _MAX_CHARACTERS:
            word = word[:half] + word[-half:]
        return [self._character_ids.get(character, UNKNOWN_CHARACTER) for character in word]


def places_in_words(pieces: Sequence[str], words: Sequence[str]) -> List[Tuple[int, int]]:
    """Return for each piece the number of the word that holds it, and its place in that word.

    A piece that holds a border of words belongs to the word of its first character.

    Args:
        pieces: Parts of a text; joined, they are the text. White space is in the middle of the
            word before it.
        words: Other parts of the same text without white space, none empty.

    Returns:
        Numbers of words, and numbers of PLACES.
    """
    ends = list(accumulate(map(len, words)))
    places = []
    start, number = 0, 0
    for piece in pieces:
        if piece.isspace():
            places.append((number, 0))
            continue
        while ends[number] <= start:
            number += 1
        is_start = start == ends[number] - len(words[number])
        is_end = start + len(piece) >= ends[number]
        places.append((number, is_start + 2 * is_end))
        start += len(piece)
    return places


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
