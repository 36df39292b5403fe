"""ELMo's layers of a text, which a frozen biLM computes once for all epochs."""

import tempfile
from contextlib import closing
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import paddle
from tqdm import tqdm

from bilm.elmo import ELMo
from bilm.errors import InputError
from bilm.files import PathLike, reserve
from bilm.inference.batching import plan_blocks
from bilm.paddle_compat import as_tensor
from lac.lookup import Lookup

_BATCH_SIZE = 64
_BYTES_PER_MEGABYTE = 1 << 20


class LayerCache:
    """The layers of the words of some sentences, in memory or in a file without a name.

    The file vanishes with the process, however that ends.

    Args:
        elmo: ELMo, whose biLM must not change while the cache is in use.
        lookup: Turns sentences into ELMo's ids.
        sentences: Lists of pieces, none empty.
        max_megabytes: A larger cache is kept in a file.
        folder: The folder on whose disk the file takes its space.
        description: Title of the progress bar, which shows on terminals only; None: no bar.

    Raises:
        InputError: There is no room for the file.
    """

    def __init__(
        self,
        elmo: ELMo,
        lookup: Lookup,
        sentences: Sequence[Sequence[str]],
        max_megabytes: int,
        folder: PathLike,
        description: Optional[str] = None,
    ):
        words = [lookup.elmo_words(tokens) for tokens in sentences]
        lengths = np.array([len(each) for each in words], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        config = elmo.bilm.config
        shape = (
            int(self._starts[-1]),
            config.num_layers + 1,
            config.num_directions * config.projection_size,
        )
        num_bytes = int(np.prod(shape)) * 4
        if num_bytes <= max_megabytes * _BYTES_PER_MEGABYTE:
            self._layers = np.empty(shape, np.float32)
        else:
            with tempfile.TemporaryFile(dir=folder) as file:  # the map keeps it
                try:
                    reserve(file, num_bytes)
                except OSError as error:
                    raise InputError(
                        f"{folder}: no room for {num_bytes >> 20} MB of ELMo layers: "
                        f"{error.strerror}; use another --save_dir"
                    ) from None
                self._layers = np.memmap(file, np.float32, "r+", shape=shape)
        with closing(tqdm(
            total=shape[0], unit="word", desc=description, disable=None if description else True
        )) as bar:
            for numbers, layers in computed_layers(elmo, lookup, words):
                for row, number in enumerate(numbers):
                    start, end = self._starts[number : number + 2]
                    self._layers[start:end] = layers[:, row, : end - start].transpose(1, 0, 2)
                    bar.update(int(end - start))

    @property
    def in_memory(self) -> bool:
        """Whether the layers are in memory, not in a file."""
        return not isinstance(self._layers, np.memmap)

    def layers(self, numbers: Iterable[int]) -> np.ndarray:
        """Return the layers of the sentences with these numbers, zero beyond their lengths.

        Returns:
            float32, shape (layers, batch, steps, features), as `ELMo.layers` gives them.
        """
        numbers = list(numbers)
        steps = max(self._starts[number + 1] - self._starts[number] for number in numbers)
        _, num_layers, features = self._layers.shape
        layers = np.zeros((num_layers, len(numbers), steps, features), np.float32)
        for row, number in enumerate(numbers):
            start, end = self._starts[number : number + 2]
            layers[:, row, : end - start] = self._layers[start:end].transpose(1, 0, 2)
        return layers


def computed_layers(
    elmo: ELMo, lookup: Lookup, sentences: Sequence[Sequence[str]]
) -> Iterator[Tuple[List[int], np.ndarray]]:
    """Yield the numbers of the sentences in each batch, and ELMo's layers of them.

    Args:
        elmo: ELMo in evaluation mode.
        lookup: Turns sentences into ELMo's ids.
        sentences: Lists of the words that ELMo reads; empty ones are left out.

    Yields:
        Numbers, and float32 of shape (layers, batch, steps, features).

    Raises:
        InputError: The lookup is that of a tagger without ELMo.
    """
    with paddle.no_grad():
        for block in plan_blocks(map(len, sentences), _BATCH_SIZE):
            for numbers in block:
                batch = [sentences[number] for number in numbers]
                lengths = np.array([len(words) for words in batch], np.int64)
                layers = elmo.layers(as_tensor(lookup.elmo_ids(batch)), as_tensor(lengths))
                yield numbers, layers.numpy()
