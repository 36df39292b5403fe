"""ELMo and tagger as one static model of Paddle's own operators.

The network is in model.json and model.pdiparams (Paddle 2.6: model.pdmodel) of a folder as
`lac.exported_folder` writes it. On Paddle 3, paddle.inference runs a model with ELMo only
with `config.set_optimization_level(0)`: its optimisation passes break loops.
"""

from pathlib import Path
from typing import List, Optional, Tuple

import paddle
from paddle import nn

from bilm.files import PathLike
from bilm.kernels.loading import using
from bilm.network.contextual import mask_of
from lac.exported_folder import input_shapes, write_exported
from lac.network.model import Tagger
from lac.network.viterbi import TransitionScores

MODEL_NAME = "model"


def decode(
    emissions: paddle.Tensor,
    lengths: paddle.Tensor,
    start: paddle.Tensor,
    stop: paddle.Tensor,
    transitions: paddle.Tensor,
) -> paddle.Tensor:
    """Return the tag ids of the best paths, shape (batch, steps), those of `best_paths`.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), each at least 1.
        start: Shape (tags,); see `TransitionScores`.
        stop: Shape (tags,).
        transitions: Shape (tags, tags), from row to column.
    """
    mask = mask_of(emissions[:, :, 0], lengths).unsqueeze(-1)  # (batch, steps, 1)
    after = paddle.concat([mask[:, 1:], paddle.zeros_like(mask[:, :1])], axis=1)
    first = paddle.concat([mask[:, :1], paddle.zeros_like(mask[:, 1:])], axis=1)
    emissions = emissions + first * start + (mask - after) * stop
    _, paths = paddle.text.viterbi_decode(
        emissions, transitions, lengths.astype("int64"), include_bos_eos_tag=False
    )
    return paths


class ExportedTagger(nn.Layer):
    """A tagger and the search for the best path, as one network.

    Args:
        tagger: The tagger in evaluation mode.
        scores: Scores of its CRF, with penalties on forbidden transitions.

    Attributes:
        inputs: Names of the inputs.
    """

    def __init__(self, tagger: Tagger, scores: TransitionScores):
        super().__init__()
        self.tagger = tagger
        for name, values in scores._asdict().items():
            self.register_buffer(name, paddle.to_tensor(values))
        self.inputs = [*input_shapes(tagger)]

    def forward(
        self,
        words: paddle.Tensor,
        lengths: paddle.Tensor,
        third: Optional[paddle.Tensor] = None,
        fourth: Optional[paddle.Tensor] = None,
        fifth: Optional[paddle.Tensor] = None,
        sixth: Optional[paddle.Tensor] = None,
    ) -> Tuple[paddle.Tensor, paddle.Tensor]:
        """Return tag ids (batch, steps), 0 beyond a row's length, and emissions.

        Args:
            words: Ids, int64, shape (batch, steps).
            lengths: Words in each row, int64, shape (batch,), each at least 1.
            third: The third of `inputs`, if there is one. See `input_shapes`.
            fourth: The fourth.
            fifth: The fifth.
            sixth: The sixth.

        Returns:
            int64 (batch, steps), and float32 (batch, steps, tags).
        """
        # named one by one: paddle.jit.save counts no *inputs and refuses their specs
        given = dict(zip(self.inputs[2:], (third, fourth, fifth, sixth)))
        emissions = self.tagger(words, lengths, **given)
        return decode(emissions, lengths, self.start, self.stop, self.transitions), emissions


def export(path: PathLike, target: PathLike) -> List[str]:
    """Write a tagger as a static model to the folder `target`, whole or not at all.

    Args:
        path: A tagger's folder, or a training run's, which stands for its best checkpoint.
        target: A folder that does not exist, or is empty.

    Returns:
        The names of the model's inputs.

    Raises:
        InputError: There is no tagger, or the target holds something or cannot be written.
    """
    return write_exported(path, target, _write_model)


def _write_model(folder: Path, tagger: Tagger, scores: TransitionScores) -> None:
    network = ExportedTagger(tagger, scores)
    network.eval()
    shapes = input_shapes(tagger)
    specs = [paddle.static.InputSpec(shape, "int64", name) for name, shape in shapes.items()]
    with using("paddle"):  # it may run elsewhere
        paddle.jit.save(network, str(folder / MODEL_NAME), input_spec=specs)
