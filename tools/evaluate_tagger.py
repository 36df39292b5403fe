"""Score a tagger on tagged text; see `--help`."""

from bilm.cli import run_main
from lac.evaluate import main

if __name__ == "__main__":
    run_main(main)
