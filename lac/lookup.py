"""From words to the ids that a tagger and its ELMo look up."""

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np

from bilm.text.vocabulary import Vocabulary
from lac.width import WidthFolder

PAD_CHARACTER, UNKNOWN_CHARACTER = 0, 1
_FIRST_CHARACTER = 2  # id of the first known one
_MAX_CHARACTERS = 8  # of a word; from a longer one, the first and the last half


class TokenIds(NamedTuple):
    """What a network looks up for some sentences, padded; None where it needs none.

    Attributes:
        words: int64, shape (batch, steps).
        lengths: int64, shape (batch,).
        elmo: int64, shape (batch, steps), or (batch, steps, pieces or characters): what
            `bilm.ELMo` takes.
        characters: int64, shape (batch, steps, characters).
    """

    words: np.ndarray
    lengths: np.ndarray
    elmo: Optional[np.ndarray]
    characters: Optional[np.ndarray]


def num_character_rows(characters: Optional[Sequence[str]]) -> int:
    """Return the rows that the embedding of some characters needs; 0 for None."""
    return 0 if characters is None else len(characters) + _FIRST_CHARACTER


class ElmoVocabulary:
    """The words of a biLM, found also where they were typed in another width.

    A word that the biLM knows is itself; otherwise the most frequent of its words that differ
    by width only, if there is one, stands for it.

    Args:
        vocabulary: The biLM's, most frequent words first.
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
        """Return the word that the biLM knows for `word`, or `word` if it knows none."""
        if self._folder is None or word in self.vocabulary:
            return word
        return self._by_folded.get(self._folder.fold(word), word)


class Lookup:
    """Turns sentences into ids.

    Args:
        words: The tagger's own vocabulary, of folded words if there is a folder.
        folder: Folds widths; None: words are looked up as they are.
        characters: Characters of the character features, in the order of their ids; None: no
            such features.
        elmo_vocabulary: Of ELMo's biLM; None: no ELMo, or one that reads characters.
        elmo_characters: Character ids of a word for a biLM that reads characters; 0: it does not.
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
        self._elmo = elmo_vocabulary and ElmoVocabulary(elmo_vocabulary, folder)
        self._elmo_characters, self._elmo_unknown = elmo_characters, elmo_unknown

    def fold(self, tokens: Iterable[str]) -> List[str]:
        """Return the words in the width in which the tagger knows them."""
        return list(tokens) if self.folder is None else [self.folder.fold(word) for word in tokens]

    def knows(self, word: str) -> bool:
        """Return whether ELMo, or the tagger itself where there is no ELMo, knows a word.

        A biLM that reads characters knows every word.
        """
        if self._elmo is not None:
            return self._elmo.known_form(word) in self._elmo.vocabulary
        return bool(self._elmo_characters) or self.fold([word])[0] in self.words

    def __call__(self, sentences: Sequence[Sequence[str]]) -> TokenIds:
        """Return the ids of sentences, lists of words."""
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

    def _ids_of_characters(self, word):
        half = _MAX_CHARACTERS // 2
        if len(word) > _MAX_CHARACTERS:
            word = word[:half] + word[-half:]
        return [self._character_ids.get(character, UNKNOWN_CHARACTER) for character in word]

    def _elmo_ids(self, sentences):
        if self._elmo_characters:
            from bilm.text.characters import pad_characters

            return pad_characters(sentences, self._elmo_characters)[0]
        if self._elmo is None:
            return None
        known = [[self._elmo.known_form(word) for word in tokens] for tokens in sentences]
        if self._elmo_unknown == "characters":
            return self._elmo.vocabulary.pad_pieces(known)[0]
        return self._elmo.vocabulary.pad(known)[0]
