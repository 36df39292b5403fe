"""The console script `lac VERB ...`; every verb is also a module, `python -m lac.<module>`."""

import argparse

from bilm.cli import run_verb
from bilm.options import add_device_options

# verb: (module, what it does)
VERBS = {
    "train": ("lac.train", "train a tagger with or without ELMo, or resume training"),
    "evaluate": ("lac.evaluate", "precision, recall and F1 of a tagger on tagged text"),
    "tag": ("lac.tag_files", "words and tags of a text"),
    "plot": ("lac.plot", "draw dev scores, the mix of ELMo and the confusion of types"),
    "export": ("lac.export", "a tagger as one static model for paddle.inference"),
    "convert": ("lac.convert", "what bilm convert does, and taggers of LARK's LAC demo"),
}


def add_tagger_options(parser: argparse.ArgumentParser) -> None:
    """Add the flags of programs that run a tagger: which one, and on what."""
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="tagger's folder or training run's folder"
    )
    parser.add_argument(
        "--batch_size", type=int, default=32, metavar="N", help="sentences in a batch"
    )
    add_device_options(parser)


def main(arguments=None) -> None:
    """Run the verb that `arguments` (default: the command line) start with."""
    run_verb("lac", VERBS, arguments)


if __name__ == "__main__":
    main()
