"""LARK's interface for static programs: `elmo_encoder` and `init_pretraining_params`."""

import logging
import re
from dataclasses import dataclass, field
from typing import Dict, Optional, Set

import numpy as np
import paddle
from paddle.static.nn.control_flow import Assert

from bilm.checkpoint import as_float32, check_tensors
from bilm.config import BiLMConfig
from bilm.elmo import ELMo
from bilm.errors import InputError
from bilm.formats import lark
from bilm.formats.known import open_model
from bilm.model import BiLM

LARK_VOCAB_SIZE = 52445  # of LARK's published model

_MIX_NAME = re.compile(rf"(\w+_)?({lark.MIX_WEIGHTS}|{lark.MIX_GAMMA})")
# Fields of a configuration that change what is computed, but no parameter's shape.
_SILENT_FIELDS = ("cell_clip", "projection_clip", "use_skip_connections", "bos_id", "eos_id")

_log = logging.getLogger("bilm")


@dataclass
class _Note:
    """What a program's biLM is; kept as an attribute of the program."""

    bilm: BiLM
    trainable: bool
    names: Set[str] = field(default_factory=set)


def elmo_encoder(
    word_ids,
    elmo_l2_coef: float = 0.0,
    *,
    lengths=None,
    config: Optional[BiLMConfig] = None,
    variant: str = "elmo",
    dropout: float = 0.5,
    layer_norm: bool = False,
    trainable: bool = False,
    name: str = "",
):
    """Return contextual word vectors in a static program: (batch, steps, 2 * projection).

    They are zero beyond a row's length. The biLM's parameters have LARK's names
    (`bilm.formats.lark`); load them with `init_pretraining_params` after the startup program
    has run. A program has one biLM: further calls share it and add a mix of their own.

    Dropout is an operator of the program, on in training and off in a test program:
    `program.clone(for_test=True)` in Paddle 2.6, `paddle.static.normalize_program(program,
    feed_vars, fetch_vars)` in Paddle 2.6 and 3.

    Source: LARK ELMo (Baidu, 2019); see `bilm.elmo.ELMo` for what is computed.

    Args:
        word_ids: int64, shape (batch, steps) or (batch, steps, 1), without <S> and </S>;
            sizes may be unknown.
        elmo_l2_coef: Weight of the L2 regularisation of the mix weights.
        lengths: Tokens in each row, shape (batch,); None: all rows are full.
        config: The biLM's; None: LARK's published model. `BiLMConfig.from_pretrained(path)`
            tells that of a checkpoint.
        variant: "elmo", or "lark" for what LARK's own encoder computes.
        dropout: As `ELMo` has it.
        layer_norm: As `ELMo` has it.
        trainable: Whether the biLM is fine-tuned.
        name: Start of the names of this call's mix; each call of a program needs another one.

    Raises:
        InputError: (a ValueError) In dynamic mode; a name is used twice in a program; a
            further call asks for another biLM than the first.
    """
    if paddle.in_dynamic_mode():
        raise InputError(
            "elmo_encoder builds static programs: call paddle.enable_static() first, or use "
            "bilm.ELMo(bilm.BiLM.from_pretrained(path)) in dynamic mode"
        )
    config = config or BiLMConfig(vocab_size=LARK_VOCAB_SIZE)
    program = paddle.static.default_main_program()
    note = _note_of(program, config, trainable, name)
    num_axes = 2 if config.char_cnn is None else 3
    if len(word_ids.shape) == num_axes + 1 and word_ids.shape[-1] == 1:
        word_ids = word_ids.squeeze(-1)
    if len(word_ids.shape) != num_axes:
        shape = list(word_ids.shape)
        raise InputError(f"word_ids must have {num_axes} axes, not the shape {shape}")
    _assert_sound(word_ids, lengths)
    start = f"{name}_" if name else ""
    elmo = ELMo(note.bilm, 1, dropout, layer_norm, trainable, variant, elmo_l2_coef, start)
    return elmo(word_ids, lengths)[0]


def _note_of(program, config, trainable, name) -> _Note:
    note = getattr(program, "_elmo_encoder", None)
    if note is None:
        names = _parameter_names(config)

        def attr_of(ours):
            return paddle.ParamAttr(name=names[ours], trainable=trainable)

        note = program._elmo_encoder = _Note(BiLM(config, False, False, attr_of), trainable)
    if (note.bilm.config, note.trainable) != (config, trainable):
        raise InputError(
            "the program has a biLM already, with another config or trainable: one program "
            f"has one biLM; first {note.bilm.config}, trainable={note.trainable}; "
            f"now {config}, trainable={trainable}"
        )
    if name in note.names:
        raise InputError(
            f"name {name!r} is taken by another elmo_encoder of the program; give name=..."
        )
    note.names.add(name)
    return note


def _assert_sound(word_ids, lengths):
    """Make the program stop at what it would compute nonsense of; Paddle itself checks the rest."""
    Assert(paddle.all(word_ids >= 0), [word_ids], name="word_ids_from_0_on")
    if lengths is None:
        return
    rows, steps = (paddle.shape(word_ids)[axis].astype(lengths.dtype) for axis in (0, 1))
    Assert(paddle.shape(lengths)[0].astype(lengths.dtype) == rows, [lengths], name="a_length_a_row")
    within = paddle.logical_and(lengths >= 0, lengths <= steps)
    Assert(paddle.all(within), [lengths], name="lengths_within_rows")


class _NamesOf(dict):
    """LARK's names by ours; what LARK does not know keeps our name."""

    def __missing__(self, ours):
        return ours


def _parameter_names(config) -> Dict[str, str]:
    return _NamesOf(lark.variable_names(config.num_layers, config.num_directions))


def init_pretraining_params(exe, pretraining_params_path, main_program=None) -> None:
    """Set the biLM of a static program to a pretrained one; call it after the startup program.

    Parameters are found by name. Those of the task stay as they are, except a layer mix
    (ELMo_w, ELMo_gamma) that the checkpoint has, too. Nothing else in it is read.

    Source: LARK ELMo (Baidu, 2019), for the interface.

    Args:
        exe: The `paddle.static.Executor` that ran the startup program.
        pretraining_params_path: A model folder, a training run's folder, or LARK's folder,
            combined file or `.npz`.
        main_program: The program with the `elmo_encoder`; None: the default one.

    Raises:
        InputError: The program has no biLM or its startup program has not run; or the checkpoint
            lacks parameters, or has them with other shapes or types: all are listed.
    """
    path, program = pretraining_params_path, main_program or paddle.static.default_main_program()
    shapes = {
        parameter.name: tuple(parameter.shape)
        for parameter in program.global_block().all_parameters()
    }
    found = _read_variables(path, program)
    needed = {name: shape for name, shape in shapes.items() if _is_bilm(name)}
    if not needed:
        raise InputError(
            "the program has no biLM; call elmo_encoder before, or give the program that did"
        )
    mixes = {name: shape for name, shape in shapes.items() if _MIX_NAME.fullmatch(name)}
    wanted = {**needed, **{name: shape for name, shape in mixes.items() if name in found}}
    found = {name: _in_shape(array, wanted[name]) for name, array in found.items()
             if name in wanted}
    check_tensors(wanted, {name: array.shape for name, array in found.items()}, str(path))
    _set_parameters(exe, as_float32(found, str(path)))
    _log.info(
        "%s: %d parameters of the biLM and %d of its mix set; %d of the task left as they are",
        path, len(needed), len(wanted) - len(needed), len(shapes) - len(wanted),
    )


def _in_shape(array, shape):
    """Return an array of the checkpoint; a bias, one row in LARK's, without that axis."""
    array = np.asarray(array)
    return array[0] if array.shape == (1, *shape) else array


def _is_bilm(name):
    return lark.is_bilm_parameter(name) or name.startswith("character_encoder.")


def _read_variables(path, program):
    """Return the arrays at `path` by the names that they have in a program."""
    if lark.is_lark(path):  # whatever is missing is told by the program's names
        return lark.read_variables(path)
    model = open_model(path)
    _check_silent_fields(model.config, program, path)
    names = _parameter_names(model.config)
    found = {names[ours]: array for ours, array in model.tensors.items()}
    if model.mixes is not None and len(model.mixes.parameters) == 1:
        found.update(zip((lark.MIX_WEIGHTS, lark.MIX_GAMMA), model.mixes.parameters[0]))
    return found


def _check_silent_fields(config, program, path):
    note = getattr(program, "_elmo_encoder", None)
    if note is None:
        return  # a copy of the program that elmo_encoder saw
    differences = [
        f"{name} is {getattr(config, name)}, in the program {getattr(note.bilm.config, name)}"
        for name in _SILENT_FIELDS
        if getattr(config, name) != getattr(note.bilm.config, name)
    ]
    if differences:
        raise InputError(
            f"{path}: {'; '.join(differences)}; call elmo_encoder with "
            "config=BiLMConfig.from_pretrained(path)"
        )


def _set_parameters(exe, arrays):
    scope = paddle.static.global_scope()
    variables = {name: scope.find_var(name) for name in arrays}
    absent = [name for name, variable in variables.items()
              if variable is None or not variable.get_tensor()._is_initialized()]
    if absent:
        raise InputError(
            f"run the startup program first; without a value are {', '.join(sorted(absent))}"
        )
    for name, variable in variables.items():
        variable.get_tensor().set(arrays[name], exe.place)
