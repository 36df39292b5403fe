"""A tagger for other runtimes: a model of one graph, and the files around it.

    OUT/model...             the network: `lac.static_model`, `lac.onnx_model`
    OUT/signature.json ...   what leads from text to ids and from tags to words:
                             `lac.exported_files`

Inputs are `words` and `lengths`, then as far as the tagger has them `elmo`, `characters`,
`elmo_lengths` and `elmo_places`, as `lac.lookup.Lookup` makes them. Outputs are tag ids
(batch, steps), 0 beyond a row's length, and the emissions (batch, steps, tags).
"""

import json
from pathlib import Path
from typing import Callable, Dict, List, Optional

from bilm.errors import InputError
from bilm.files import PathLike, atomic_folder, check_new_folder
from lac.exported_files import SIGNATURE_FILE, copy_files
from lac.model_folder import tagger_path
from lac.network.model import Tagger
from lac.network.viterbi import TransitionScores
from lac.prediction import decoding_scores
from lac.pretrained import load_tagger
from lac.tag_schemes import TagScheme

OUTPUTS = "tags", "emissions"


def write_exported(
    path: PathLike,
    target: PathLike,
    write_model: Callable[[Path, Tagger, TransitionScores], None],
) -> List[str]:
    """Write a tagger for other runtimes to the folder `target`, whole or not at all.

    Args:
        path: A tagger's folder, or a training run's, which stands for its best checkpoint.
        target: A folder that does not exist, or is empty.
        write_model: Writes the model into a folder, from the tagger in evaluation mode and the
            scores of its CRF, with penalties on forbidden transitions.

    Returns:
        The names of the model's inputs.

    Raises:
        InputError: There is no tagger, or the target holds something or cannot be written.
    """
    target = Path(target)
    check_new_folder(target)
    tagger, stored = load_tagger(path)
    scores = decoding_scores(tagger, TagScheme(stored.config.scheme), stored.tags)
    shapes = input_shapes(tagger)
    signature = {
        "inputs": [*shapes],
        "shapes": {name: [size or -1 for size in shape] for name, shape in shapes.items()},
        "dtype": "int64",
        "outputs": OUTPUTS,
    }
    try:
        with atomic_folder(target) as folder:
            write_model(folder, tagger, scores)
            copy_files(stored, tagger_path(path), folder)
            (folder / SIGNATURE_FILE).write_text(json.dumps(signature) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    return [*shapes]


def input_shapes(tagger: Tagger) -> Dict[str, List[Optional[int]]]:
    """Return the shapes of the inputs by name, in their order; None stands for any size."""
    shapes: Dict[str, List[Optional[int]]] = {"words": [None, None], "lengths": [None]}
    config = tagger.config
    if tagger.elmo is not None:
        of_bilm = tagger.elmo.bilm.config
        tail: List[Optional[int]] = []
        if of_bilm.char_cnn is not None:  # the convolutions need the number of characters
            tail = [of_bilm.max_characters]
        elif config.elmo_unknown == "characters":
            tail = [None]
        shapes["elmo"] = [None, None, *tail]
    if tagger.character_features is not None:
        shapes["characters"] = [None, None, None]
    if tagger.elmo is not None and config.elmo_reads == "words":
        shapes.update(elmo_lengths=[None], elmo_places=[None, None, 2])
    return shapes
