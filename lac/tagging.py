"""Raw Chinese text to words with part-of-speech and entity tags."""

from functools import cached_property
from itertools import chain
from typing import Collection, FrozenSet, Iterable, List, Optional, Sequence, Union

import numpy as np

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.hardware import prepare_device
from lac.analyser import checked_texts
from lac.analysis import Analysis
from lac.customization import Customization, Source
from lac.pretrained import analyser_of, load_ranking, load_tagger, save_tagger
from lac.ranking import ranks_of_words
from lac.tag_names import entity_types
from lac.tag_schemes import OUTSIDE, TagScheme


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
        self._analyser = analyser_of(self.tagger, self.stored, batch_size)
        self._predictor = self._analyser.predictor
        self._ranking = load_ranking(self.stored, self._predictor, batch_size)
        self._customization = self.stored.customization

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

    def cut(self, text: Union[str, Iterable[str]]) -> list:
        """Return the words of a text, without white space; of several texts, a list of these.

        Args:
            text: A string, or several.

        Raises:
            InputError: It is neither.
        """
        texts = [text] if isinstance(text, str) else text
        words = [
            [word for word in analysis.words if not word.isspace()]
            for analysis in self.analyse(texts)
        ]
        return words[0] if isinstance(text, str) else words

    @cached_property
    def types(self) -> FrozenSet[str]:
        """The types of words that the tagger knows; O among them if words may have none."""
        scheme = TagScheme(self.stored.config.scheme)
        return frozenset(scheme.parse(tag)[1] or OUTSIDE for tag in self.stored.tags)

    @property
    def entity_types(self) -> FrozenSet[str]:
        """The types that `entities` looks for by default.

        These are nr, ns, nt, nw, nz, PER, LOC, ORG and TIME; with a tagger of entities alone, all
        others but O, too.
        """
        return entity_types(self.types)

    def entities(
        self, text: Union[str, Iterable[str]], types: Optional[Collection[str]] = None,
        confidence: bool = False,
    ) -> list:
        """Return the entities of a text, `lac.analysis.Entity`; of several texts, a list of these.

        Args:
            text: A string, or several.
            types: Types of words, such as ["nr", "t"]; None: see `entity_types`. Those that only
                the user dictionary gives may be among them.
            confidence: Whether to compute how sure the model is of each entity.

        Raises:
            InputError: The text is neither, or `types` is one string.
        """
        if isinstance(types, str):
            raise InputError(f"expected several types, such as [{types!r}], found {types!r}")
        wanted = self.entity_types if types is None else frozenset(types)
        texts = [text] if isinstance(text, str) else text
        analyses = self.analyse(texts, confidence=confidence)
        entities = [analysis.entities(wanted) for analysis in analyses]
        return entities[0] if isinstance(text, str) else entities

    def rank(self, text: Union[str, Iterable[str]]) -> list:
        """Return [words, tags, ranks] of a text; of several texts, a list of these.

        A rank is a word's importance: 0 redundant, 1 weak, 2 strong, 3 central.

        Args:
            text: A string, or several.

        Raises:
            InputError: It is neither, or the tagger has no ranker; that of Baidu's LAC is imported
                from its rank_model.
        """
        if self._ranking is None:
            raise InputError(
                "the tagger has no ranker; lac convert imports one from the rank_model of LAC"
            )
        texts = checked_texts([text] if isinstance(text, str) else text)
        customization = self._customization
        cut = self._analyser.cut_texts(texts, customization)
        pieces = cut.tokens()
        tags = self._predictor.predict(pieces)
        ranks = self._ranking.of_pieces(pieces, tags)
        ranked = []
        start = 0
        for analysis, end in zip(self._analyser.words(cut, tags, customization), cut.ends):
            of_words = ranks_of_words(
                analysis, list(chain(*pieces[start:end])), list(chain(*ranks[start:end]))
            )
            ranked.append([analysis.words, analysis.tags, of_words])
            start = end
        return ranked[0] if isinstance(text, str) else ranked

    def pieces(self, text: str) -> List[str]:
        """Return the pieces of a text that the tagger tags.

        White space is none, except to a tagger imported from Baidu's LAC.
        """
        reads_space = self.stored.config.convention == "baidu"
        cut = self._analyser.pieces.cut(text)
        return [piece for piece in cut if reads_space or not piece.isspace()]

    def elmo_words(self, text: str) -> List[str]:
        """Return the words of a text that ELMo reads, without white space.

        These are the tagger's pieces, or words of the biLM's own segmentation.

        Raises:
            InputError: The tagger has no ELMo.
        """
        if self.tagger.elmo is None:
            raise InputError("the tagger has no ELMo")
        return list(self._predictor.lookup.elmo_words(self.pieces(text)))

    @property
    def elmo_reads_words(self) -> bool:
        """Whether the words that ELMo reads are a segmenter's, not characters or other pieces."""
        return "words" in (self.stored.config.elmo_reads, self._analyser.pieces.kind)

    def layers(self, sentences: Sequence[Sequence[str]]) -> List[np.ndarray]:
        """Return ELMo's layers of sentences.

        Args:
            sentences: Lists of the words that ELMo reads, as `elmo_words` returns them.

        Returns:
            A float32 array (layers, words, features) for each sentence: the token layer, then the
            LSTM layers.

        Raises:
            InputError: The tagger has no ELMo.
        """
        return self._predictor.layers(sentences)

    def knows(self, piece: str) -> bool:
        """Return whether the tagger, or ELMo where it reads pieces, knows a piece."""
        return self._predictor.lookup.knows(piece)

    def elmo_knows(self, word: str) -> bool:
        """Return whether ELMo knows a word; a biLM that reads characters knows every word."""
        return self._predictor.lookup.elmo_knows(word)

    def analyse(
        self, texts: Iterable[str], segmented: bool = False, confidence: bool = False
    ) -> List[Analysis]:
        """Return the words and tags of each text, with the tokens that they are made of.

        Args:
            texts: The texts.
            segmented: Whether words are already separated by ASCII white space, which then is
                no part of the text; the tagger may join these words, but not cut them, and the
                user dictionary decides tags only.
            confidence: Whether to compute `Analysis.confidences`.

        Raises:
            InputError: A text is not a string.
        """
        texts = checked_texts(texts)
        return self._analyser.analyse(texts, self._customization, segmented, confidence)

    def margins(self, texts: Iterable[str], segmented: bool = False) -> List[float]:
        """Return how sure the model is of each text's tags: the margin of its CRF.

            margin = score of the best tags - score of the second best tags

        It is the logarithm of how many times as probable they are; inf where there are no second.
        The user dictionary changes only what the model reads.

        Args:
            texts: The texts.
            segmented: See `analyse`.

        Raises:
            InputError: A text is not a string.
        """
        cut = self._analyser.cut_texts(checked_texts(texts), self._customization, segmented)
        return self._analyser.margins(cut)
