"""Raw Chinese text to words with part-of-speech and entity tags."""

from collections.abc import Mapping
from typing import Iterable, List, Optional, Sequence, Union

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.hardware import prepare_device
from bilm.text.lines import split_words
from bilm.text.segmenters import SegmentationOptions, load_segmenter, segment_sentence
from bilm.text.sentences import cut_sentences, ends_sentence
from lac.analysis import Analysis, Token, analysis_of, joined
from lac.customization import Customization, Source
from lac.pretrained import load_tagger, predictor_of, save_tagger


class LAC:
    """Cuts Chinese text into words and tags them.

    Examples:
        >>> lac = LAC("sample")
        >>> lac.run("我爱北京天安门")
        [['我', '爱', '北京', '天安门'], ['r', 'v', 'ns', 'ns']]

    An object may be used by several threads at once.

    Args:
        model: A tagger's folder, a training run's, which stands for its best checkpoint, or
            "sample", which comes with this package.
        batch_size: Largest number of sentences computed together.
        use_gpu: Whether to compute on a GPU.
        threads: CPU threads; 0: all cores.

    Attributes:
        tagger: The network, a `lac.Tagger`.
        stored: The content of its folder.

    Raises:
        InputError: There is no tagger, or it is incomplete or damaged.
    """

    def __init__(
        self, model: PathLike, *, batch_size: int = 32, use_gpu: bool = False, threads: int = 0
    ):
        prepare_device(use_gpu, threads)
        self.tagger, self.stored = load_tagger(model)
        self._predictor = predictor_of(self.tagger, self.stored, batch_size)
        self._customization = self.stored.customization
        self._cut = load_segmenter(SegmentationOptions())

    def run(self, text: Union[str, Iterable[str]]) -> list:
        """Return [words, tags] of a text; of several texts, a list of these.

        Joined, the words are the text; white space between words is a word with the tag w.
        A blank text gives [[], []].

        Args:
            text: A string, or several.

        Raises:
            InputError: It is neither.
        """
        if isinstance(text, str):
            (analysis,) = self.analyse([text])
            return [analysis.words, analysis.tags]
        return [[analysis.words, analysis.tags] for analysis in self.analyse(text)]

    def load_customization(self, source: Source) -> None:
        """Use a user dictionary, whose words win over the model, in place of the present one.

        Args:
            source: File name, open file or list of entries: see `lac.customization`.

        Raises:
            InputError: An entry is malformed; all are listed.
            OSError: The file cannot be read.
        """
        self._customization = Customization.load(source)

    def save_pretrained(self, path: PathLike, dtype: str = "float32") -> None:
        """Write the tagger with its user dictionary to the folder `path`, whole or not at all.

        Args:
            path: A folder that does not exist, or is empty.
            dtype: "float32", or "float16" for files half as large; computation stays in float32.

        Raises:
            InputError: The folder holds something, or cannot be written, or there is no such type.
        """
        stored = self.stored._replace(customization=self._customization)
        save_tagger(path, stored, self.tagger, dtype)

    def cut(self, text: str) -> List[str]:
        """Return the words of a text as the segmenter cuts them, without white space."""
        return segment_sentence(text, self._cut)

    def layers(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Return ELMo's layers of sentences.

        Args:
            sentences: Lists of words, as `cut` returns them.

        Returns:
            A float32 array (layers, words, features) for each sentence: the token layer, then the
            LSTM layers.

        Raises:
            InputError: The tagger has no ELMo.
        """
        return self._predictor.layers(sentences)

    def knows(self, word: str) -> bool:
        """Return whether ELMo, or a tagger without ELMo, knows a word."""
        return self._predictor.lookup.knows(word)

    def analyse(self, texts: Iterable[str], segmented: bool = False) -> List[Analysis]:
        """Return the words and tags of each text, with the tokens that they are made of.

        Args:
            texts: The texts.
            segmented: Whether words are already separated by ASCII white space, which then is
                no part of the text; the user dictionary decides tags only.

        Raises:
            InputError: A text is not a string.
        """
        if not isinstance(texts, Iterable) or isinstance(texts, (str, bytes, Mapping)):
            raise InputError(f"expected texts, found {type(texts).__name__}")
        texts = list(texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number} must be a string, not {type(text).__name__}")
        customization = self._customization
        sentences: List[List[Token]] = []
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
        analyses = [
            analysis_of(sentence, own_tags, self._predictor.scheme)
            for sentence, own_tags in zip(sentences, tags)
        ]
        return [joined(analyses[start:end]) for start, end in zip([0, *ends], ends)]

    def _sentences(
        self, text: str, customization: Optional[Customization]
    ) -> List[List[Token]]:
        """Return the tokens of a text's sentences; no sentence ends within an entry."""
        sentences: List[List[Token]] = [[]]
        start = 0
        for first, end, words in customization.find(text) if customization else ():
            self._add_cut(text[start:first], sentences)
            sentences[-1] += (Token(word.text, True, word.type) for word in words)
            start = end
        self._add_cut(text[start:], sentences)
        return sentences

    def _add_cut(self, text: str, sentences: List[List[Token]]) -> None:
        """Cut a text and add its tokens to the last sentence and to new ones."""
        for number, sentence in enumerate(cut_sentences(text)):
            if number or (sentences[-1] and ends_sentence(sentences[-1][-1].text)):
                sentences.append([])
            tokens = sentences[-1]
            for word in self._cut(sentence):
                if word.isspace() and tokens and tokens[-1].is_space:
                    tokens[-1] = Token(tokens[-1].text + word, is_space=True)
                else:
                    tokens.append(Token(word, is_space=word.isspace()))


def _segmented_tokens(text: str, customization: Optional[Customization]) -> List[Token]:
    tokens = []
    for word in split_words(text):
        entry = customization.words_of(word) if customization else None
        if entry is not None and len(entry) == 1:
            tokens.append(Token(word, is_entry=True, type=entry[0].type))
        else:
            tokens.append(Token(word))
    return tokens
