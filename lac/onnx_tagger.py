"""Words and tags of raw text from a tagger that `lac export --format onnx` wrote, without Paddle.

It needs onnxruntime; neither Paddle nor the package onnx is imported.
"""

from itertools import chain
from pathlib import Path
from typing import Any, Callable, Iterable, List, Optional, Sequence, Union

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.inference.batching import plan_blocks
from lac.analyser import Analyser, checked_texts
from lac.analysis import Analysis
from lac.customization import Customization, Source
from lac.exported_files import ONNX_FILE, ExportedFiles, read_files
from lac.tag_schemes import TagScheme


class OnnxTagger:
    """Cuts Chinese text into words and tags them, as `lac.LAC` does with the tagger itself.

    An object may be used by several threads at once.

    Args:
        folder: The folder that `lac export --format onnx` wrote.
        batch_size: Largest number of sentences computed together.
        threads: CPU threads; 0: all cores.

    Raises:
        InputError: There is no such model, a file beside it is missing or damaged, or the package
            onnxruntime is not installed.
    """

    def __init__(self, folder: PathLike, *, batch_size: int = 32, threads: int = 0):
        files = read_files(folder)
        stored = files.stored
        session = _open_session(Path(folder) / ONNX_FILE, threads)
        predictor = OnnxPredictor(session, files, batch_size)
        self._analyser = Analyser(predictor, stored.pieces(), stored.config.convention)
        self._customization = stored.customization

    def run(self, text: Union[str, Iterable[str]]) -> list:
        """Return [words, tags] of a text; of several texts, a list of these.

        Joined, the words are the text, see `lac.LAC.run`.

        Args:
            text: A string, or several.

        Raises:
            InputError: It is neither.
        """
        if isinstance(text, str):
            (analysis,) = self.analyse([text])
            return [analysis.words, analysis.tags]
        return [[analysis.words, analysis.tags] for analysis in self.analyse(text)]

    def analyse(self, texts: Iterable[str]) -> List[Analysis]:
        """Return the words and tags of each text, with the tokens that they are made of.

        Raises:
            InputError: A text is not a string.
        """
        return self._analyser.analyse(checked_texts(texts), self._customization)

    def load_customization(self, source: Source) -> None:
        """Use a user dictionary, see `lac.LAC.load_customization`.

        Args:
            source: File name, open file or list of entries: see `lac.customization`.

        Raises:
            InputError: An entry is malformed; all are listed.
            OSError: The file cannot be read.
        """
        self._customization = Customization.load(source)


class OnnxPredictor:
    """Tags sentences of pieces that may each begin a word, as `lac.prediction.Predictor` does.

    Args:
        session: An onnxruntime.InferenceSession of the model.
        files: What stands beside it.
        batch_size: Largest number of sentences computed together; fewer where they are long.

    Attributes:
        scheme: The scheme of the tags.

    Raises:
        InputError: batch_size is not positive.
    """

    def __init__(self, session: Any, files: ExportedFiles, batch_size: int = 32):
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        self._session, self._lookup, self._batch_size = session, files.lookup, batch_size
        self._tags = files.stored.tags
        self.scheme = TagScheme(files.stored.config.scheme)

    def predict(
        self,
        sentences: Sequence[Sequence[str]],
        cache: Optional[object] = None,
        progress: Optional[Callable[[int], object]] = None,
        continues: Optional[Sequence[Sequence[bool]]] = None,
    ) -> List[List[str]]:
        """Return the tags of each sentence, one a piece.

        Args:
            sentences: Lists of pieces; an empty one has no tags.
            cache: Not used: the model computes ELMo's layers itself.
            progress: Called with the number of sentences of each batch.
            continues: For each piece whether it must not begin a word, which the model cannot be
                told; None: any may.

        Raises:
            InputError: A piece must not begin a word.
        """
        if continues is not None and any(map(any, continues)):
            raise InputError("an exported tagger decides itself where words begin: it takes no "
                             "segmented text; use the tagger that was exported")
        tags: List[List[str]] = [[] for _ in sentences]
        for batch in chain.from_iterable(plan_blocks(map(len, sentences), self._batch_size)):
            ids = self._lookup([sentences[number] for number in batch])
            inputs = {name: array for name, array in ids._asdict().items() if array is not None}
            (paths,) = self._session.run(["tags"], inputs)
            for number, path, length in zip(batch, paths, ids.lengths):
                tags[number] = [self._tags[tag] for tag in path[:length]]
            if progress is not None:
                progress(len(batch))
        return tags


def _open_session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError("an ONNX tagger needs onnxruntime: pip install onnxruntime") from None
    if not path.is_file():
        raise InputError(f"{path.parent}: has no {path.name}; lac export --format onnx writes one")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
