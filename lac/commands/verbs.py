"""The console script `lac VERB ...`; each verb is the module of its name in this folder."""

from importlib import import_module
from types import ModuleType
from typing import Optional, Sequence

from bilm.program.running import Verbs

GROUPS = {
    "training": {
        "label": "tags by a tagger or jieba's dictionary, for text without labels",
        "train": "train a tagger with or without ELMo, or resume training",
        "ablate": "train with and without ELMo on several seeds, and compare",
        "evaluate": "precision, recall and F1 of a tagger on tagged text",
        "score": "precision, recall and F1 of any program's words and tags",
        "plot": "draw dev scores, the mix of ELMo and the confusion of types",
    },
    "use of a tagger": {
        "tag": "words and tags of a text",
        "serve": "a tagger over HTTP, with a page to see it work",
        "export": "a tagger as one model for paddle.inference or onnxruntime",
        "convert": "what bilm convert does, and taggers of LARK and of Baidu's LAC",
    },
    "shell": {
        "completion": "a script that completes verbs and flags on Tab",
    },
}


def load(verb: str) -> ModuleType:
    """Import the module of a verb."""
    return import_module(f"lac.commands.{verb}")


VERBS = Verbs(
    "lac", GROUPS, load, "echo '昨天下午，小川在上海买了两斤苹果。' | lac tag --model sample"
)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    VERBS.run(arguments)
