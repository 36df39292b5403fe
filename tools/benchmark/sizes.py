"""The sizes that are measured, and how many operations they need at least."""

from typing import NamedTuple, Optional, Tuple

from bilm.errors import InputError

NUM_DIRECTIONS = NUM_LAYERS = 2


class Sizes(NamedTuple):
    """Sizes of a model and of its training."""

    vocab: int
    projection: int
    cell: int
    batch: int
    candidates: int
    steps: int = 20


CONFIGS = {
    "small": Sizes(8_000, 64, 256, 32, 1_024),
    "mid": Sizes(20_000, 256, 1_024, 32, 1_024),
    "lark": Sizes(52_445, 512, 4_096, 128, 8_000),
}


def sizes_of(config: str) -> Sizes:
    """Return the sizes that a configuration's name stands for.

    Args:
        config: One of CONFIGS, with other sizes behind colons if wanted: mid:batch=8:steps=40.

    Raises:
        InputError: There is no such configuration or size, or the size is no positive number.
    """
    name, *changes = config.split(":")
    if name not in CONFIGS:
        raise InputError(f"--config: {name!r} is none of {', '.join(CONFIGS)}")
    sizes = CONFIGS[name]._asdict()
    for change in changes:
        key, _, value = change.partition("=")
        if key not in sizes or not value.isdecimal() or int(value) < 1:
            raise InputError(f"--config: expected one of {', '.join(sizes)} and a positive number, "
                             f"as in {name}:batch=8, not {change!r}")
        sizes[key] = int(value)
    return Sizes(**sizes)


def batch_shape(task: str, sizes: Sizes) -> Tuple[int, int]:
    """Return rows and steps of a batch; the rows that the task's name says go first."""
    _, _, rows = task.partition("_")
    return int(rows) if rows.isdecimal() else sizes.batch, sizes.steps


def roofline_flops(task: str, config: str) -> Optional[int]:
    """Return the floating-point operations of a token's matrix products; None: not of a biLM.

    Training takes three times those of the forward pass: a product's two gradients are
    products of the same size.
    """
    if not task.startswith(("train", "embed")):
        return None
    sizes = sizes_of(config)
    gates = sizes.projection * 4 * sizes.cell
    layer = gates + gates + sizes.cell * sizes.projection
    forward = 2 * NUM_DIRECTIONS * NUM_LAYERS * layer
    if task.startswith("embed"):
        return forward
    classes = sizes.candidates if task == "train_sampled" else sizes.vocab
    return 3 * (forward + 2 * NUM_DIRECTIONS * sizes.projection * classes)
