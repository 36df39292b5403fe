"""Build a vocabulary from corpus shards; `build_vocab.py --help` lists the options."""

from bilm.cli import run_main
from bilm.vocabulary_builder import main

if __name__ == "__main__":
    run_main(main)
