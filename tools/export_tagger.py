"""A tagger as one static model; see `--help`."""

from bilm.cli import run_main
from lac.export import main

if __name__ == "__main__":
    run_main(main)
