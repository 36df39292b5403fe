"""The console script `lac VERB ...`; every verb is also a module, `python -m lac.<module>`."""

from bilm.cli import run_verb
from bilm.options import add_device_options
from bilm.parser import Parser

# group: verb: (module, what it does)
GROUPS = {
    "training": {
        "label": ("lac.silver_labels", "tags by jieba's dictionary, for text without labels"),
        "train": ("lac.train", "train a tagger with or without ELMo, or resume training"),
        "evaluate": ("lac.evaluate", "precision, recall and F1 of a tagger on tagged text"),
        "plot": ("lac.plot", "draw dev scores, the mix of ELMo and the confusion of types"),
    },
    "use of a tagger": {
        "tag": ("lac.tag_files", "words and tags of a text"),
        "serve": ("lac.serve", "a tagger over HTTP, with a page to see it work"),
        "export": ("lac.export", "a tagger as one static model for paddle.inference"),
        "convert": ("lac.convert", "what bilm convert does, and taggers of LARK's LAC demo"),
    },
    "shell": {
        "completion": ("lac.completion", "a script that completes verbs and flags on Tab"),
    },
}
VERBS = {verb: entry for verbs in GROUPS.values() for verb, entry in verbs.items()}
EXAMPLE = "echo '昨天下午，小川在上海买了两斤苹果。' | lac tag --model sample"


def add_model_option(parser: Parser) -> None:
    """Add the flag that names a tagger."""
    parser.group("model").add_argument(
        "--model", required=True, metavar="DIR",
        help="tagger's folder, training run's folder, or sample, which comes with this package",
    )


def add_tagger_options(parser: Parser) -> None:
    """Add the flags of programs that run a tagger: which one, and on what."""
    add_model_option(parser)
    add_device_options(parser)
    parser.group("device").add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences in a batch"
    )


def main(arguments=None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    run_verb("lac", GROUPS, EXAMPLE, arguments)


if __name__ == "__main__":
    main()
