"""The sizes that are measured, and how many operations they need at least."""

from typing import NamedTuple, Optional

NUM_DIRECTIONS = NUM_LAYERS = 2
NUM_STEPS = 20


class Sizes(NamedTuple):
    """Sizes of a model and of its training."""

    vocab: int
    projection: int
    cell: int
    batch: int
    candidates: int


CONFIGS = {
    "small": Sizes(8_000, 64, 256, 32, 1_024),
    "mid": Sizes(20_000, 256, 1_024, 32, 1_024),
    "lark": Sizes(52_445, 512, 4_096, 128, 8_000),
}


def roofline_flops(task: str, config: str) -> Optional[int]:
    """Return the floating-point operations of a token's matrix products; None: not of a biLM.

    Training takes three times those of the forward pass: a product's two gradients are
    products of the same size.
    """
    if not task.startswith(("train", "embed")):
        return None
    sizes = CONFIGS[config]
    gates = sizes.projection * 4 * sizes.cell
    layer = gates + gates + sizes.cell * sizes.projection
    forward = 2 * NUM_DIRECTIONS * NUM_LAYERS * layer
    if task.startswith("embed"):
        return forward
    classes = sizes.candidates if task == "train_sampled" else sizes.vocab
    return 3 * (forward + 2 * NUM_DIRECTIONS * sizes.projection * classes)
