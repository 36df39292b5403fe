"""`lac export`: ELMo and tagger as one static model of Paddle's own operators.

    OUT/model.json, model.pdiparams   the network (Paddle 2.6: model.pdmodel)
    OUT/tags.txt, words.txt, ...      the files of the tagger's folder that turn words into ids
    OUT/signature.json                its inputs, in order, and its outputs

Inputs are `words` and `lengths`, then `elmo` and `characters` where the tagger has them, as
`lac.lookup.Lookup` makes them. Outputs are tag ids (batch, steps), 0 beyond a row's length,
and the emissions (batch, steps, tags).
"""

import json
import shutil
from pathlib import Path
from typing import List, Optional

import paddle
from paddle import nn

from bilm.cli import run_main
from bilm.contextual import mask_of
from bilm.errors import InputError
from bilm.files import atomic_folder
from bilm.options import new_parser
from lac.model import Tagger
from lac.model_folder import (
    CHARACTERS_FILE,
    ELMO_FOLDER,
    TAGS_FILE,
    WORDS_FILE,
    StoredTagger,
    tagger_path,
)
from lac.pretrained import load_tagger
from lac.tag_schemes import TagScheme
from lac.viterbi import TransitionScores
from lac.width import WIDTH_FILE


def decode(
    emissions: paddle.Tensor,
    lengths: paddle.Tensor,
    start: paddle.Tensor,
    stop: paddle.Tensor,
    transitions: paddle.Tensor,
) -> paddle.Tensor:
    """Return the tag ids of the best paths, (batch, steps), as `lac.viterbi.best_paths` does.

    Args:
        emissions: Shape (batch, steps, tags).
        lengths: Shape (batch,), each at least 1.
        start, stop, transitions: See `TransitionScores`.
    """
    mask = mask_of(emissions[:, :, 0], lengths).unsqueeze(-1)  # (batch, steps, 1)
    after = paddle.concat([mask[:, 1:], paddle.zeros_like(mask[:, :1])], axis=1)
    first = paddle.concat([mask[:, :1], paddle.zeros_like(mask[:, 1:])], axis=1)
    emissions = emissions + first * start + (mask - after) * stop
    _, paths = paddle.text.viterbi_decode(
        emissions, transitions, lengths.astype("int64"), include_bos_eos_tag=False
    )
    return paths
