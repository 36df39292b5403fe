"""ELMo and tagger as one static model of Paddle's own operators.

    OUT/model.json, model.pdiparams   the network (Paddle 2.6: model.pdmodel)
    OUT/tags.txt, words.txt, ...      the files of the tagger's folder that turn words into ids;
                                      elmo_vocab.txt is the biLM's vocabulary
    OUT/signature.json                its inputs, in order, and its outputs

Inputs are `words` and `lengths`, then `elmo` and `characters` if the tagger has them, as
`lac.lookup.Lookup` makes them. Outputs are tag ids (batch, steps), 0 beyond a row's length,
and the emissions (batch, steps, tags). On Paddle 3, paddle.inference runs a model with ELMo only
with `config.set_optimization_level(0)`: its optimisation passes break loops.
"""

import json
import shutil
from pathlib import Path
from typing import List, Optional, Tuple

import paddle
from paddle import nn

from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, check_new_folder
from bilm.kernels.loading import using
from bilm.network.contextual import mask_of
from bilm.storage.side_files import VOCABULARY_FILE
from lac.model_folder import CHARACTERS_FILE, ELMO_FOLDER, TAGS_FILE, WORDS_FILE, tagger_path
from lac.network.model import Tagger
from lac.network.viterbi import TransitionScores
from lac.prediction import decoding_scores
from lac.pretrained import load_tagger
from lac.tag_schemes import TagScheme
from lac.width import WIDTH_FILE

MODEL_NAME, SIGNATURE_FILE = "model", "signature.json"


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
        self.inputs = ["words", "lengths"]
        self.inputs += ["elmo"] * (tagger.elmo is not None)
        self.inputs += ["characters"] * (tagger.character_features is not None)

    def forward(
        self,
        words: paddle.Tensor,
        lengths: paddle.Tensor,
        third: Optional[paddle.Tensor] = None,
        fourth: Optional[paddle.Tensor] = None,
    ) -> Tuple[paddle.Tensor, paddle.Tensor]:
        """Return tag ids (batch, steps), 0 beyond a row's length, and emissions.

        Args:
            words: Ids, int64, shape (batch, steps).
            lengths: Words in each row, int64, shape (batch,), each at least 1.
            third: The third of `inputs`, if there is one: ELMo's ids, or characters.
            fourth: The fourth of `inputs`, if there is one: characters.

        Returns:
            int64 (batch, steps), and float32 (batch, steps, tags).
        """
        given = dict(zip(self.inputs[2:], (third, fourth)))
        emissions = self.tagger(words, lengths, given.get("elmo"), given.get("characters"))
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
    target = Path(target)
    check_new_folder(target)
    tagger, stored = load_tagger(path)
    scores = decoding_scores(tagger, TagScheme(stored.config.scheme), stored.tags)
    network = ExportedTagger(tagger, scores)
    network.eval()
    shapes = {name: _input_shape(name, tagger) for name in network.inputs}
    specs = [paddle.static.InputSpec(shape, "int64", name) for name, shape in shapes.items()]
    try:
        with atomic_folder(target) as folder, using("paddle"):  # it may run elsewhere
            paddle.jit.save(network, str(folder / MODEL_NAME), input_spec=specs)
            _copy_side_files(tagger_path(path), folder)
            signature = {
                "inputs": network.inputs,
                "shapes": {name: [size or -1 for size in shape] for name, shape in shapes.items()},
                "dtype": "int64",
                "outputs": ["tags", "emissions"],
            }
            (folder / SIGNATURE_FILE).write_text(json.dumps(signature) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    return network.inputs


def _input_shape(name: str, tagger: Tagger) -> List[Optional[int]]:
    """Return the shape of an input; None stands for any size."""
    if name != "elmo" or tagger.elmo is None:
        return [None] * {"words": 2, "lengths": 1, "characters": 3}[name]
    config = tagger.elmo.bilm.config
    if config.char_cnn is not None:  # the convolutions need the number of characters
        return [None, None, config.max_characters]
    return [None] * (3 if tagger.config.elmo_unknown == "characters" else 2)


def _copy_side_files(source: Path, target: Path) -> None:
    for name in (TAGS_FILE, WORDS_FILE, CHARACTERS_FILE, WIDTH_FILE):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    words = source / ELMO_FOLDER / VOCABULARY_FILE
    if words.is_file():
        shutil.copyfile(words, target / "elmo_vocab.txt")
