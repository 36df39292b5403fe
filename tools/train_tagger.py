"""Train a tagger with or without ELMo; see `--help`."""

from bilm.cli import run_main
from lac.train import main

if __name__ == "__main__":
    run_main(main)
