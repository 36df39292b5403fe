"""Words and tags of raw text from a tagger that `lac export --format onnx` wrote, without Paddle.

It needs onnxruntime; neither Paddle nor the package onnx is imported.
"""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, List, Optional, Sequence, Union, cast

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.inference.batching import plan_blocks
from lac.analyser import Analyser
from lac.analysis import Analysis
from lac.customization import Customization, Source
from lac.exported_files import ONNX_FILE, ExportedFiles, read_files
from lac.tag_schemes import TagScheme

if TYPE_CHECKING:
    from lac.prediction import Predictor


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
        # a cast: it tags, which is all that raw text needs
        self._analyser = Analyser(
            cast("Predictor", predictor), stored.pieces(), stored.config.convention
        )
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
        if not isinstance(texts, Iterable) or isinstance(texts, (str, bytes)):
            raise InputError(f"expected texts, found {type(texts).__name__}")
        texts = list(texts)
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputError(f"text {number} must be a string, not {type(text).__name__}")
        return self._analyser.analyse(texts, self._customization)

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

    def predict(self, sentences: Sequence[Sequence[str]], *_: Optional[object]) -> List[List[str]]:
        """Return the tags of each sentence, one a piece.

        Args:
            sentences: Lists of pieces; an empty one has no tags.
        """
        tags: List[List[str]] = [[] for _ in sentences]
        for batch in chain.from_iterable(plan_blocks(map(len, sentences), self._batch_size)):
            ids = self._lookup([sentences[number] for number in batch])
            inputs = {name: array for name, array in ids._asdict().items() if array is not None}
            (paths,) = self._session.run(["tags"], inputs)
            for number, path, length in zip(batch, paths, ids.lengths):
                tags[number] = [self._tags[tag] for tag in path[:length]]
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
