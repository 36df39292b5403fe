"""The console script `bilm VERB ...`; each verb is the module of its name in this folder."""

from importlib import import_module
from types import ModuleType
from typing import Optional, Sequence

from bilm.program.running import Verbs

GROUPS = {
    "text": {
        "segment": "split raw text into sentences and words",
        "vocab": "build a vocabulary from segmented text",
    },
    "training": {
        "pretrain": "train a biLM on segmented text, or resume training",
        "evaluate": "exact perplexity of a biLM on segmented text",
        "plot": "draw learning curves from metrics.jsonl files",
    },
    "use of a biLM": {
        "embed": "contextual vectors of every word of a text, as HDF5",
        "score": "log-probability of each word and sentence",
        "generate": "text drawn from a biLM",
    },
    "checkpoints": {
        "convert": "a biLM to another format, checked",
        "inspect": "what a checkpoint holds and what it lacks",
        "compare": "how far two checkpoints are apart",
    },
    "shell": {
        "completion": "a script that completes verbs and flags on Tab",
    },
}


def load(verb: str) -> ModuleType:
    """Import the module of a verb."""
    return import_module(f"bilm.commands.{verb}")


VERBS = Verbs("bilm", GROUPS, load, "bilm segment data/raw/train.txt --output corpus/train")


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    VERBS.run(arguments)
