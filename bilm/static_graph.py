"""LARK's interface for static programs: `elmo_encoder` and `init_pretraining_params`."""

import logging
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Optional, Set

import numpy as np
import paddle
from paddle.static.nn.control_flow import Assert

from bilm.elmo import ELMo
from bilm.errors import InputError
from bilm.files import PathLike
from bilm.network.config import BiLMConfig
from bilm.network.model import BiLM
from bilm.paddle_compat import is_initialized
from bilm.storage.formats import lark
from bilm.storage.formats.known import locate
from bilm.storage.pretrained import open_model
from bilm.storage.side_files import read_side_files
from bilm.storage.tensors import as_float32, check_tensors, shapes_of
from bilm.text.characters import NUM_CHARACTERS

LARK_VOCAB_SIZE = 52445  # of LARK's published model

_OUR_OWN_NAME = re.compile(r"character_encoder\.(embedding\.weight|\w+_(weight|bias))$")
# Fields of a configuration that change what is computed, but no parameter's shape.
_SILENT_FIELDS = ("cell_clip", "projection_clip", "use_skip_connections", "bos_id", "eos_id")

_log = logging.getLogger("bilm")


@dataclass
class _Note:
    """What a program's biLM is; kept as an attribute of the program."""

    program: object
    bilm: BiLM
    trainable: bool
    names: Set[str] = field(default_factory=set)


def elmo_encoder(
    word_ids: Any,
    elmo_l2_coef: float = 0.0,
    *,
    lengths: Optional[Any] = None,
    config: Optional[BiLMConfig] = None,
    variant: str = "elmo",
    dropout: float = 0.5,
    layer_norm: bool = False,
    trainable: bool = False,
    name: str = "",
) -> Any:
    """Return contextual word vectors in a static program: (batch, steps, 2 * projection).

    They are zero beyond a row's length. The biLM's parameters have LARK's names
    (`bilm.storage.formats.lark`); load them with `init_pretraining_params` after the startup
    program has run. A program has one biLM: further calls share it and add a mix of their own.

    Dropout is an operator of the program, on in training and off in a test program:
    `program.clone(for_test=True)` in Paddle 2.6, `paddle.static.normalize_program(program,
    feed_vars, fetch_vars)` in Paddle 2.6 and 3.

    Examples:
        >>> paddle.enable_static()
        >>> word_ids = paddle.static.data("word_ids", [None, None], "int64")
        >>> features = elmo_encoder(word_ids, config=BiLMConfig.from_pretrained("sample"))
        >>> list(features.shape)
        [-1, -1, 128]
        >>> paddle.disable_static()

    Source: LARK ELMo (Baidu, 2019); see `bilm.elmo.ELMo` for what is computed.

    Args:
        word_ids: int64, shape (batch, steps) or (batch, steps, 1), without `<S>` and `</S>`;
            sizes may be unknown.
        elmo_l2_coef: Weight of the L2 regularisation of the mix weights.
        lengths: Tokens in each row, shape (batch,); None: all rows are full.
        config: The biLM's; None: LARK's published model. `BiLMConfig.from_pretrained(path)`
            returns that of a checkpoint.
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
    num_axes = 2 if config.char_cnn is None else 3
    if len(word_ids.shape) == num_axes + 1 and word_ids.shape[-1] == 1:
        word_ids = word_ids.squeeze(-1)
    if len(word_ids.shape) != num_axes:
        shape = list(word_ids.shape)
        raise InputError(f"word_ids must have {num_axes} axes, not the shape {shape}")
    note = _note_of(paddle.static.default_main_program(), config, trainable)
    if name in note.names:
        raise InputError(
            f"name {name!r} is taken by another elmo_encoder of the program; give name=..."
        )
    start = f"{name}_" if name else ""
    elmo = ELMo(note.bilm, 1, dropout, layer_norm, trainable, variant, elmo_l2_coef, start)
    note.names.add(name)
    return elmo(*_sound_input(word_ids, lengths, config))[0]


def _note_of(program, config, trainable) -> _Note:
    note = getattr(program, "_elmo_encoder", None)
    if note is None or note.program is not program:
        present = {p.name for p in program.global_block().all_parameters()}
        names = _parameter_names(config)
        if lark.EMBEDDING in present or "character_encoder.embedding.weight" in present:
            raise InputError(
                "the program is a copy of one with an elmo_encoder; call it before copying"
            )

        def attr_of(ours):
            return paddle.ParamAttr(name=names[ours], trainable=trainable)

        bilm = BiLM(config, has_softmax=False, attr_of=attr_of)
        note = program._elmo_encoder = _Note(program, bilm, trainable)
    if (note.bilm.config, note.trainable) != (config, trainable):
        raise InputError(
            "the program has a biLM already, with another config or trainable: one program "
            f"has one biLM; first {note.bilm.config}, trainable={note.trainable}; "
            f"now {config}, trainable={trainable}"
        )
    return note


def _sound_input(word_ids, lengths, config):
    """Return ids and lengths; where one of them is invalid, with ids outside the vocabulary.

    Paddle's lookup stops at these, also in programs from which operators without a result, such
    as Assert, were taken out. Where Assert is left, the first of the two that runs stops; Assert
    shows the values that are wrong.
    """
    sound = word_ids >= 0
    Assert(paddle.all(sound), [word_ids], name="word_ids_from_0_on")
    if lengths is not None:
        rows, steps = (paddle.shape(word_ids)[axis].astype(lengths.dtype) for axis in (0, 1))
        is_pair = paddle.shape(lengths)[0].astype(lengths.dtype) == rows
        Assert(is_pair, [lengths], name="a_length_a_row")
        within = paddle.logical_and(lengths >= 0, lengths <= steps)
        Assert(paddle.all(within), [lengths], name="lengths_within_rows")
        within = paddle.logical_and(within, is_pair.reshape([1]))
        axes = [-1] + [1] * (len(word_ids.shape) - 1)
        sound = paddle.logical_and(sound, within.reshape(axes))
        kept = within.astype(lengths.dtype)
        lengths = lengths * kept + steps * (1 - kept)  # so that the ids are looked up
    size = config.vocab_size if config.char_cnn is None else NUM_CHARACTERS
    sound = sound.astype(word_ids.dtype)
    return word_ids * sound + (1 - sound) * size, lengths


class _NamesOf(dict):
    """LARK's names by ours; parameters that LARK does not have keep our names."""

    def __missing__(self, ours):
        return ours


def _parameter_names(config) -> Dict[str, str]:
    return _NamesOf(lark.variable_names(config.num_layers, config.num_directions))


def init_pretraining_params(
    exe: Any, pretraining_params_path: PathLike, main_program: Optional[Any] = None
) -> None:
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
    needed = {name: shape for name, shape in shapes.items() if _is_of_encoder(name)}
    if not needed:
        raise InputError(
            "the program has no biLM; call elmo_encoder before, or give the program that did"
        )
    variables = _read_variables(path, program)
    mixes = {lark.MIX_WEIGHTS, lark.MIX_GAMMA} & shapes.keys() & variables.keys()
    wanted = {**needed, **{name: shapes[name] for name in mixes}}
    values = {name: _in_shape(array, wanted[name]) for name, array in variables.items()
              if name in wanted}
    check_tensors(wanted, shapes_of(values), str(path))
    _set_parameters(exe, as_float32(values, str(path)))
    _log.info(
        "%s: %d parameters of the biLM and %d of its mix set; %d of the task left as they are",
        path, len(needed), len(wanted) - len(needed), len(shapes) - len(wanted),
    )


def _in_shape(array, shape):
    """Return an array of the checkpoint; a bias, one row in LARK's, without that axis."""
    array = np.asarray(array)
    return array[0] if array.shape == (1, *shape) else array


def _is_of_encoder(name):
    """Return whether a parameter is one of those that `elmo_encoder` creates, but for its mix."""
    if name.startswith("softmax_"):  # the task's: an encoder has none
        return False
    return lark.is_bilm_parameter(name) or _OUR_OWN_NAME.match(name) is not None


def _read_variables(path, program):
    """Return the arrays at `path` by the names that they have in a program.

    A LARK checkpoint has these names. It need not be a whole biLM: the program says what it needs.
    """
    located = locate(path)
    if located.format in lark.FORMATS:
        config = read_side_files(located.folder).config
        if config is not None:
            _check_silent_fields(config, program, path)
        return lark.read_variables(located)
    model = open_model(located, moments=False)
    _check_silent_fields(model.config, program, path)
    names = _parameter_names(model.config)
    variables = {names[ours]: array for ours, array in model.tensors.items()}
    if model.mixes is not None and len(model.mixes.parameters) == 1:
        variables.update(zip((lark.MIX_WEIGHTS, lark.MIX_GAMMA), model.mixes.parameters[0]))
    return variables


def _check_silent_fields(config, program, path):
    note = getattr(program, "_elmo_encoder", None)
    if note is None or note.program is not program:
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
    absent = [name for name, variable in variables.items() if not is_initialized(variable)]
    if absent:
        raise InputError(
            f"run the startup program first; without a value are {', '.join(sorted(absent))}"
        )
    for name, variable in variables.items():
        variable.get_tensor().set(arrays[name], exe.place)
