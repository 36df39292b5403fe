"""From texts to words and tags: sentences, pieces, tags, and a user dictionary over them."""

from functools import cached_property, lru_cache
from itertools import accumulate
from typing import (
    TYPE_CHECKING,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    cast,
)

import numpy as np

from bilm.errors import InputError
from bilm.text.lines import split_words
from bilm.text.sentences import MAX_SENTENCE_CHARACTERS, cut_sentences, ends_sentence
from lac.analysis import (
    Analysis,
    Reading,
    Token,
    analysis_of,
    fixed_borders,
    joined,
    with_entries,
)
from lac.customization import Customization
from lac.network.posteriors import WordPlace
from lac.pieces import Pieces
from lac.tag_schemes import TagScheme

if TYPE_CHECKING:  # both import Paddle, without which exported taggers run
    from lac.layer_cache import LayerCache
    from lac.prediction import Batch, Predictor


class CutTexts(NamedTuple):
    """Texts as the tokens of sentences, which are tagged independently.

    Attributes:
        texts: The texts.
        sentences: The tokens of each sentence, white space among them.
        ends: For each text the number of sentences up to its end.
        segmented: Whether the words were given.
    """

    texts: List[str]
    sentences: List[List[Token]]
    ends: List[int]
    segmented: bool = False

    def tokens(self) -> List[List[str]]:
        """Return what the model sees of each sentence."""
        return [
            [token.text for token in sentence if not token.is_space] for sentence in self.sentences
        ]

    def continues(self) -> Optional[List[List[bool]]]:
        """Return for each of these tokens whether it continues a given word; None: none does."""
        if not self.segmented:
            return None
        return [
            [token.continues for token in sentence if not token.is_space]
            for sentence in self.sentences
        ]


class PieceTagger(Protocol):
    """What `Analyser` needs for words and tags.

    Attributes:
        scheme: The scheme of the tags.
    """

    scheme: TagScheme

    def predict(
        self,
        sentences: Sequence[Sequence[str]],
        cache: Optional["LayerCache"] = None,
        progress: Optional[Callable[[int], object]] = None,
        continues: Optional[Sequence[Sequence[bool]]] = None,
    ) -> List[List[str]]:
        """Return the tags of each sentence, one a piece; see `lac.prediction.Predictor`."""


class Analyser:
    """Cuts texts into pieces, tags them, and joins them to words.

    Args:
        predictor: Tags pieces; for confidences and margins it must be a `lac.prediction.Predictor`.
        pieces: Cuts text.
        convention: One of `lac.analysis.CONVENTIONS`.
    """

    def __init__(self, predictor: PieceTagger, pieces: Pieces, convention: str = "spans"):
        self.predictor = cast("Predictor", predictor)
        self.pieces, self._convention = pieces, convention

    def analyse(
        self, texts: Sequence[str], customization: Optional[Customization] = None,
        segmented: bool = False, confidence: bool = False,
    ) -> List[Analysis]:
        """Return the words and tags of texts.

        Args:
            texts: The texts.
            customization: User dictionary.
            segmented: Whether words are separated by ASCII white space, which then is no part of
                the text. The model may join these words, but not cut them.
            confidence: Whether to compute how sure the model is of each word.
        """
        cut = self.cut_texts(texts, customization, segmented)
        entries = customization if not segmented else None
        return self.tag_with_confidences(cut, entries) if confidence else self.tag(cut, entries)

    def cut_texts(
        self, texts: Sequence[str], customization: Optional[Customization] = None,
        segmented: bool = False,
    ) -> CutTexts:
        """Return the tokens of texts; see `analyse`."""
        sentences: List[List[Token]] = []
        ends = []
        for text in texts:
            if segmented:
                sentences.append(self._segmented_tokens(text, customization))
            elif self._convention == "baidu":
                sentences += self._whole(text)
            elif not text.isspace():
                sentences += self._sentences(text, customization)
            ends.append(len(sentences))
        return CutTexts(list(texts), sentences, ends, segmented)

    def tag(
        self, cut: CutTexts, customization: Optional[Customization] = None,
        cache: Optional["LayerCache"] = None, progress: Optional[Callable[[int], object]] = None,
    ) -> List[Analysis]:
        """Return the words and tags of texts.

        Args:
            cut: Result of `cut_texts`.
            customization: User dictionary to lay over the model's words; where the tagger's
                pieces are words, `cut_texts` has done that.
            cache: ELMo's layers of the sentences.
            progress: Called with the number of sentences of each batch.
        """
        tags = self.predictor.predict(cut.tokens(), cache, progress, cut.continues())
        return self.words(cut, tags, customization)

    def tag_with_confidences(
        self, cut: CutTexts, customization: Optional[Customization] = None
    ) -> List[Analysis]:
        """Return the words and tags of texts, and how sure the model is of each word.

        Args:
            cut: Result of `cut_texts`.
            customization: See `tag`.
        """
        done: Dict[int, Analysis] = {}  # by the sentence's number
        for batch in self.predictor.batches(cut.tokens(), continues=cut.continues()):
            for number, tags in zip(batch.numbers, self.predictor.best_tags(batch)):
                done[number] = self._analysis(cut.sentences[number], tags)
            self._add_confidences(batch, cut, done)
        analyses = [
            done[number] if number in done else self._analysis(sentence, [])  # white space alone
            for number, sentence in enumerate(cut.sentences)
        ]
        return self._of_texts(cut, analyses, customization)

    def words(
        self, cut: CutTexts, tags: Sequence[Sequence[str]],
        customization: Optional[Customization] = None,
    ) -> List[Analysis]:
        """Return the words of texts from the tags of their pieces.

        Args:
            cut: Result of `cut_texts`.
            tags: Tags of each sentence.
            customization: See `tag`.
        """
        return self._of_texts(cut, list(map(self._analysis, cut.sentences, tags)), customization)

    def _analysis(self, sentence: Sequence[Token], tags: Sequence[str]) -> Analysis:
        return analysis_of(sentence, tags, self.predictor.scheme, self._convention)

    def _of_texts(
        self, cut: CutTexts, analyses: Sequence[Analysis], customization: Optional[Customization]
    ) -> List[Analysis]:
        """Return the analyses of texts from those of their sentences."""
        texts = [joined(analyses[start:end]) for start, end in zip([0, *cut.ends], cut.ends)]
        if customization is None or self.pieces.kind == "words":
            return texts
        find = customization.find_as_baidu if self._convention == "baidu" else customization.find
        return [
            with_entries(
                analysis, find("".join(analysis.words)), self.predictor.scheme, self._convention
            )
            for analysis in texts
        ]

    @cached_property
    def _reading(self) -> Reading:
        return Reading.of(self.predictor.tags, self.predictor.scheme, self._convention)

    def _add_confidences(self, batch: "Batch", cut: CutTexts, done: Dict[int, Analysis]) -> None:
        """Set the confidences of a batch of sentences, whose analyses are given by number."""
        sentences = [cut.sentences[number] for number in batch.numbers]
        places = [
            _places(tokens, done[number]) for number, tokens in zip(batch.numbers, sentences)
        ]
        probabilities = self.predictor.word_probabilities(
            batch,
            [[place for place in own if place is not None] for own in places],
            self._reading,
            [fixed_borders(tokens, self._convention) for tokens in sentences],
        )
        for number, own, values in zip(batch.numbers, places, probabilities):
            remaining = iter(values.tolist())
            done[number].confidences[:] = [
                None if place is None else next(remaining) for place in own
            ]

    def margins(self, cut: CutTexts) -> List[float]:
        """Return how much better the model's tags of each text are than the second best.

        That is the least margin of the text's sentences, which are tagged independently; inf for
        a text without any.

        Args:
            cut: Result of `cut_texts`.
        """
        of_sentences = self.predictor.margins(cut.tokens(), cut.continues())
        return [
            float(of_sentences[start:end].min(initial=np.inf))
            for start, end in zip([0, *cut.ends], cut.ends)
        ]

    def _whole(self, text: str) -> List[List[Token]]:
        """Return the tokens of a text as one sentence; several if it is too long for one."""
        parts = [text] if len(text) <= MAX_SENTENCE_CHARACTERS else cut_sentences(text)
        return [list(map(_token, self.pieces.cut(part))) for part in parts]

    def _sentences(
        self, text: str, customization: Optional[Customization]
    ) -> List[List[Token]]:
        """Return the tokens of a text's sentences; no sentence ends within an entry."""
        sentences: List[List[Token]] = [[]]
        start = 0
        if customization is not None and self.pieces.kind == "words":
            for match in customization.find(text):
                self._add_cut(text[start : match.start], sentences)
                sentences[-1] += (Token(word.text, True, word.type) for word in match.words)
                start = match.end
        self._add_cut(text[start:], sentences)
        return sentences

    def _add_cut(self, text: str, sentences: List[List[Token]]) -> None:
        """Cut a text and add its tokens to the last sentence and to new ones."""
        for number, sentence in enumerate(cut_sentences(text)):
            if number or (sentences[-1] and ends_sentence(sentences[-1][-1].text)):
                sentences.append([])
            tokens = sentences[-1]
            for word in self.pieces.cut(sentence):
                if not word.isspace():
                    tokens.append(_token(word))
                elif tokens and tokens[-1].is_space:
                    tokens[-1] = Token(tokens[-1].text + word, is_space=True)
                else:
                    tokens.append(Token(word, is_space=True))

    def _segmented_tokens(self, text: str, customization: Optional[Customization]) -> List[Token]:
        tokens = []
        for word in split_words(text):
            entry = customization.words_of(word) if customization else None
            is_entry = entry is not None and len(entry) == 1
            kind = entry[0].type if entry is not None and is_entry else None
            parts = [word] if self.pieces.kind == "words" else self.pieces.cut(word)
            tokens += [
                Token(part, is_entry, kind, continues=number > 0)
                for number, part in enumerate(parts)
            ]
        return tokens


_token = lru_cache(1 << 14)(Token)  # the same few thousand pieces come again and again


def checked_texts(texts: Iterable[str]) -> List[str]:
    """Return texts as a list.

    Raises:
        InputError: They are not several texts, or one is not a string.
    """
    if not isinstance(texts, Iterable) or isinstance(texts, (str, bytes, Mapping)):
        raise InputError(f"expected texts, found {type(texts).__name__}")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {number} must be a string, not {type(text).__name__}")
    return texts


def _places(tokens: Sequence[Token], analysis: Analysis) -> List[Optional[WordPlace]]:
    """Return where each word of a sentence stands among the tokens that the model tagged.

    It is None for white space and for words of the user dictionary, of which the model decides
    nothing, or not all.
    """
    is_entry = [token.is_entry for token in tokens if not token.is_space]
    ends = list(accumulate(analysis.sizes))
    return [
        None if word.isspace() or any(is_entry[start:end]) else WordPlace(start, end, kind)
        for word, kind, start, end in zip(analysis.words, analysis.tags, [0, *ends], ends)
    ]
