"""From words to the ids of a tagger and its ELMo."""

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np

from bilm.text.characters import pad_characters
from bilm.text.vocabulary import Vocabulary
from lac.width import WidthFolder

PAD_CHARACTER, UNKNOWN_CHARACTER = 0, 1
_FIRST_CHARACTER = 2  # id of the first known one
_MAX_CHARACTERS = 8  # of a word; from a longer one, the first and the last half


class TokenIds(NamedTuple):
    """The ids of a batch of sentences, padded.

    Attributes:
        words: Words of the tagger, int64, shape (batch, steps).
        lengths: Words in each sentence, int64, shape (batch,).
        elmo: Ids for `bilm.ELMo`, int64, shape (batch, steps), or (batch, steps, pieces or
            characters); None for a tagger without ELMo.
        characters: int64, shape (batch, steps, characters); None for a tagger without character
            features.
    """

    words: np.ndarray
    lengths: np.ndarray
    elmo: Optional[np.ndarray]
    characters: Optional[np.ndarray]


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
    """

    def __init__(self, vocabulary: Vocabulary, folder: Optional[WidthFolder]):
        self.vocabulary = vocabulary
        self._folder = folder
        self._by_folded: Dict[str, str] = {}
        if folder is not None:
            for word in vocabulary.words:
                self._by_folded.setdefault(folder.fold(word), word)

    def known_form(self, word: str) -> str:
        """Return the biLM's form of `word`, or `word` itself if the biLM has none."""
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
    """

    def __init__(
        self,
        words: Vocabulary,
        folder: Optional[WidthFolder],
        characters: Optional[Sequence[str]] = None,
        elmo_vocabulary: Optional[Vocabulary] = None,
        elmo_characters: int = 0,
        elmo_unknown: str = "unk",
    ):
        self.words, self.folder, self.characters = words, folder, characters
        self._character_ids = {
            character: number
            for number, character in enumerate(characters or (), start=_FIRST_CHARACTER)
        }
        self._elmo = (
            None if elmo_vocabulary is None else ElmoVocabulary(elmo_vocabulary, folder)
        )
        self._elmo_characters, self._elmo_unknown = elmo_characters, elmo_unknown

    def fold(self, tokens: Iterable[str]) -> List[str]:
        """Return the words in the widths of the tagger's vocabulary."""
        return list(tokens) if self.folder is None else [self.folder.fold(word) for word in tokens]

    def knows(self, word: str) -> bool:
        """Return whether ELMo, or a tagger without ELMo, knows a word.

        A biLM that reads characters knows every word.
        """
        if self._elmo is not None:
            return self._elmo.known_form(word) in self._elmo.vocabulary
        return bool(self._elmo_characters) or self.fold([word])[0] in self.words

    def __call__(self, sentences: Sequence[Sequence[str]]) -> TokenIds:
        """Return the ids of sentences, which are lists of words."""
        folded = [self.fold(tokens) for tokens in sentences]
        words, lengths = self.words.pad(folded)
        characters = None
        if self.characters is not None:
            characters = np.zeros((*words.shape, _MAX_CHARACTERS), np.int64)
            for row, tokens in enumerate(folded):
                for step, token in enumerate(tokens):
                    ids = self._ids_of_characters(token)
                    characters[row, step, : len(ids)] = ids
        return TokenIds(words, lengths, self._elmo_ids(sentences), characters)

    def _ids_of_characters(self, word: str) -> List[int]:
        half = _MAX_CHARACTERS // 2
        if len(word) > _MAX_CHARACTERS:
            word = word[:half] + word[-half:]
        return [self._character_ids.get(character, UNKNOWN_CHARACTER) for character in word]

    def _elmo_ids(self, sentences: Sequence[Sequence[str]]) -> Optional[np.ndarray]:
        if self._elmo_characters:
            return pad_characters(sentences, self._elmo_characters)[0]
        if self._elmo is None:
            return None
        known = [[self._elmo.known_form(word) for word in tokens] for tokens in sentences]
        if self._elmo_unknown == "characters":
            return self._elmo.vocabulary.pad_pieces(known)[0]
        return self._elmo.vocabulary.pad(known)[0]
