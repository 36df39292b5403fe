"""Raw Chinese text to words with part-of-speech and entity tags: the library's front door."""

from typing import Iterable, List, NamedTuple, Optional, Union

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.segmenters import SegmentationOptions, load_segmenter
from bilm.sentences import cut_sentences
from bilm.vocabulary import split_words
from lac.customization import Customization
from lac.tag_schemes import OUTSIDE

SPACE_TAG = "w"  # of white space, which no model tags, as in Baidu's LAC


class Analysis(NamedTuple):
    """What is known of a text.

    Attributes:
        words: Spans, each with its tag's type; joined, they are the text.
        tags: Types of the words.
        tokens: What the model tagged: no white space, spans not joined.
        token_tags: The model's tags, or those of the user dictionary.
    """

    words: List[str]
    tags: List[str]
    tokens: List[str]
    token_tags: List[str]


class _Token(NamedTuple):
    """A piece of text; `type` is the user dictionary's, if it has one for it."""

    text: str
    type: Optional[str]

    @property
    def is_space(self) -> bool:
        return self.text.isspace()


class LAC:
    """Cuts Chinese text into words and tags them.

        >>> LAC("tagger").run("我爱北京天安门")
        [['我', '爱', '北京', '天安门'], ['r', 'v', 'ns', 'ns']]

    An object may be used by several threads at once. Nothing is logged.

    Args:
        model: A tagger's folder, or a training run's, which stands for its best checkpoint.
        batch_size: Sentences computed together, at most.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: There is no tagger, or it is incomplete or damaged.
    """

    def __init__(self, model, *, batch_size: int = 32, use_gpu: bool = False, threads: int = 0):
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        prepare_device(use_gpu, threads)
        from lac.pretrained import load_tagger, predictor_of  # only now: they import Paddle

        self._tagger, self._stored = load_tagger(model)
        self._predictor = predictor_of(self._tagger, self._stored, batch_size)
        self._customization = self._stored.customization
        self._cut = load_segmenter(SegmentationOptions())

    def run(self, text: Union[str, Iterable[str]]) -> list:
        """Return [words, tags] of a text; of a list of texts, a list of these.

        Joined, the words are the text; white space between words is a word with the tag w.
        A blank text gives [[], []].

        Args:
            text: A string, or several; a list is left as it is.

        Raises:
            InputError: It is neither.
        """
        if isinstance(text, str):
            (found,) = self.analyse([text])
            return [found.words, found.tags]
        return [[found.words, found.tags] for found in self.analyse(text)]

    def load_customization(self, source) -> None:
        """Use a user dictionary, whose words win over the model, instead of any before.

        Args:
            source: File name, open file or list of entries: see `lac.customization`.

        Raises:
            InputError: An entry is malformed; all are listed.
        """
        self._customization = Customization.load(source)

    def save_pretrained(self, path) -> None:
        """Write the tagger with its user dictionary to the folder `path`, whole or not at all.

        Raises:
            InputError: The folder cannot be written, or is there already.
        """
        from lac.model_folder import save_tagger

        save_tagger(path, self._stored._replace(customization=self._customization), self._tagger)

    def analyse(self, texts: Iterable[str], segmented: bool = False) -> List[Analysis]:
        """Return what is known of each text.

        Args:
            texts: Strings.
            segmented: Whether words are separated by ASCII white space already, which then
                is no part of the text; the user dictionary decides tags only.

        Raises:
            InputError: They are no strings.
        """
        texts = list(texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number} must be a string, not {type(text).__name__}")
        customization = self._customization
        sentences: List[List[_Token]] = []
        ends = []
        for text in texts:
            if segmented:
                sentences.append(_segmented_tokens(text, customization))
            elif not text.isspace():
                sentences += (
                    self._tokens(sentence, customization) for sentence in cut_sentences(text)
                )
            ends.append(len(sentences))
        tags = self._predictor.predict(
            [[token.text for token in sentence if not token.is_space] for sentence in sentences]
        )
        found = [self._merge(*pair) for pair in zip(sentences, tags)]
        return [_joined(found[start:end]) for start, end in zip([0, *ends], ends)]

    def _tokens(self, sentence: str, customization) -> List[_Token]:
        tokens: List[_Token] = []
        start = 0
        for first, end, words in customization.find(sentence) if customization else ():
            self._add_cut(sentence[start:first], tokens)
            tokens += (_Token(word.text, word.type) for word in words)
            start = end
        self._add_cut(sentence[start:], tokens)
        return tokens

    def _add_cut(self, text, tokens):
        for word in self._cut(text) if text else ():
            if word.isspace() and tokens and tokens[-1].is_space:
                tokens[-1] = _Token(tokens[-1].text + word, None)
            else:
                tokens.append(_Token(word, None))

    def _merge(self, tokens: List[_Token], tags: List[str]) -> Analysis:
        """Return a sentence's spans as words."""
        scheme = self._predictor.scheme
        words: List[str] = []
        types: List[str] = []
        own_tags: List[str] = []
        previous, space = OUTSIDE, ""
        remaining = iter(tags)
        for token in tokens:
            if token.is_space:
                space = token.text
                continue
            tag = next(remaining)
            mark, kind = scheme.parse(tag)
            own_tags.append(token.type or tag)
            if token.type is None and mark in "IE" and not scheme.starts_span(previous, tag):
                words[-1] += space + token.text
            else:
                if space:
                    words.append(space)
                    types.append(SPACE_TAG)
                words.append(token.text)
                types.append(token.type or kind or OUTSIDE)
            previous, space = (OUTSIDE if token.type else tag), ""
        if space:
            words.append(space)
            types.append(SPACE_TAG)
        texts = [token.text for token in tokens if not token.is_space]
        return Analysis(words, types, texts, own_tags)


def _segmented_tokens(text, customization) -> List[_Token]:
    tokens = []
    for word in split_words(text):
        entry = customization.words_of(word) if customization else None
        tokens.append(_Token(word, entry[0].type if entry and len(entry) == 1 else None))
    return tokens


def _joined(parts: List[Analysis]) -> Analysis:
    return Analysis(*([item for part in parts for item in part[axis]] for axis in range(4)))
