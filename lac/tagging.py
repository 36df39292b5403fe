"""Raw Chinese text to words with part-of-speech and entity tags: the library's front door."""

from collections.abc import Mapping
from typing import Iterable, List, NamedTuple, Optional, Union

import numpy as np

from bilm.errors import InputError
from bilm.hardware import prepare_device
from bilm.text.lines import split_words
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence
from bilm.text.sentences import cut_sentences, ends_sentence
from lac.customization import Customization
from lac.tag_schemes import OUTSIDE

SPACE_TAG = "w"  # of white space, which no model tags, as in Baidu's LAC


class Analysis(NamedTuple):
    """What is known of a text.

    Attributes:
        words: Spans, each with its tag's type; joined, they are the text.
        tags: Types of the words.
        tokens: What the model tagged: no white space, spans not joined.
        token_tags: The model's tags; with words of the user dictionary, those of the spans.
        sizes: Tokens in each word, 0 of white space.
    """

    words: List[str]
    tags: List[str]
    tokens: List[str]
    token_tags: List[str]
    sizes: List[int]


class _Token(NamedTuple):
    """A piece of text.

    Attributes:
        text: Its characters.
        is_entry: Whether it is a word of the user dictionary.
        type: The user dictionary's, if it has one for it.
        is_space: Whether it is white space that the model does not see.
    """

    text: str
    is_entry: bool = False
    type: Optional[str] = None
    is_space: bool = False


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

    Attributes:
        tagger: The network, a `lac.Tagger`.
        stored: The content of its folder.

    Raises:
        InputError: There is no tagger, or it is incomplete or damaged.
    """

    def __init__(self, model, *, batch_size: int = 32, use_gpu: bool = False, threads: int = 0):
        prepare_device(use_gpu, threads)
        from lac.pretrained import load_tagger, predictor_of  # only now: they import Paddle

        self.tagger, self.stored = load_tagger(model)
        self._predictor = predictor_of(self.tagger, self.stored, batch_size)
        self._customization = self.stored.customization
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
            OSError: The file cannot be read.
        """
        self._customization = Customization.load(source)

    def save_pretrained(self, path, dtype: str = "float32") -> None:
        """Write the tagger with its user dictionary to the folder `path`, whole or not at all.

        Args:
            path: A folder that does not exist, or is empty.
            dtype: "float32", or "float16" for files half as large; computation is in float32
                still.

        Raises:
            InputError: The folder cannot be written, or is there already, or the type is another.
        """
        from lac.model_folder import save_tagger

        stored = self.stored._replace(customization=self._customization)
        save_tagger(path, stored, self.tagger, dtype)

    def cut(self, text: str) -> List[str]:
        """Return the words of a text as the segmenter cuts them, without white space."""
        return segment_sentence(text, self._cut)

    def layers(self, sentences: List[List[str]]) -> List[np.ndarray]:
        """Return ELMo's layers of sentences, of a tagger that has ELMo.

        Args:
            sentences: Lists of words, as `cut` returns them.

        Returns:
            float32, of shape (layers, words, features) each: the token layer, then the LSTM's.
        """
        return self._predictor.layers(sentences)

    def knows(self, word: str) -> bool:
        """Return whether ELMo, or a tagger's own vocabulary where there is no ELMo, has a word."""
        return self._predictor.lookup.knows(word)

    def analyse(self, texts: Iterable[str], segmented: bool = False) -> List[Analysis]:
        """Return what is known of each text.

        Args:
            texts: Strings.
            segmented: Whether words are separated by ASCII white space already, which then
                is no part of the text; the user dictionary decides tags only.

        Raises:
            InputError: They are no strings.
        """
        if not isinstance(texts, Iterable) or isinstance(texts, (str, bytes, Mapping)):
            raise InputError(f"expected texts, found {type(texts).__name__}")
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
                sentences += self._sentences(text, customization)
            ends.append(len(sentences))
        tags = self._predictor.predict(
            [[token.text for token in sentence if not token.is_space] for sentence in sentences]
        )
        found = [self._merge(*pair) for pair in zip(sentences, tags)]
        return [_joined(found[start:end]) for start, end in zip([0, *ends], ends)]

    def _sentences(self, text: str, customization) -> List[List[_Token]]:
        """Return the tokens of a text's sentences; no sentence ends within an entry."""
        sentences: List[List[_Token]] = [[]]
        start = 0
        for first, end, words in customization.find(text) if customization else ():
            self._add_cut(text[start:first], sentences)
            sentences[-1] += (_Token(word.text, True, word.type) for word in words)
            start = end
        self._add_cut(text[start:], sentences)
        return sentences

    def _add_cut(self, text, sentences):
        """Cut a text and add its tokens to the last sentence and to new ones."""
        for number, sentence in enumerate(cut_sentences(text)):
            if number or (sentences[-1] and ends_sentence(sentences[-1][-1].text)):
                sentences.append([])
            tokens = sentences[-1]
            for word in self._cut(sentence):
                if word.isspace() and tokens and tokens[-1].is_space:
                    tokens[-1] = _Token(tokens[-1].text + word, is_space=True)
                else:
                    tokens.append(_Token(word, is_space=word.isspace()))

    def _merge(self, tokens: List[_Token], tags: List[str]) -> Analysis:
        """Return a sentence's spans as words."""
        scheme = self._predictor.scheme
        words: List[str] = []
        types: List[str] = []
        own_tags: List[str] = []
        sizes: List[int] = []
        previous, space = OUTSIDE, ""
        remaining = iter(tags)
        for token in tokens:
            if token.is_space:
                space += token.text
                continue
            tag = next(remaining)
            mark, kind = scheme.parse(tag)
            own_tags.append(tag)
            if not token.is_entry and mark in "IE" and not scheme.starts_span(previous, tag):
                words[-1] += space + token.text
                sizes[-1] += 1
            else:
                if space:
                    _append(words, types, sizes, (space, SPACE_TAG, 0))
                _append(words, types, sizes, (token.text, token.type or kind or OUTSIDE, 1))
            previous, space = (OUTSIDE if token.is_entry else tag), ""
        if space:
            _append(words, types, sizes, (space, SPACE_TAG, 0))
        texts = [token.text for token in tokens if not token.is_space]
        if any(token.is_entry for token in tokens):
            own_tags = [
                tag for kind, size in zip(types, sizes) if size
                for tag in ([OUTSIDE] if kind == OUTSIDE else scheme.encode(kind, size))
            ]
        return Analysis(words, types, texts, own_tags, sizes)


def _append(words, types, sizes, word):
    for items, item in zip((words, types, sizes), word):
        items.append(item)


def _segmented_tokens(text, customization) -> List[_Token]:
    tokens = []
    for word in split_words(text):
        entry = customization.words_of(word) if customization else None
        is_entry = entry is not None and len(entry) == 1
        tokens.append(_Token(word, is_entry, entry[0].type if is_entry else None))
    return tokens


def _joined(parts: List[Analysis]) -> Analysis:
    axes = range(len(Analysis._fields))
    return Analysis(*([item for part in parts for item in part[axis]] for axis in axes))
