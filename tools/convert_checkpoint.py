"""Convert a biLM from one format to another, and check the result; see `--help`."""

from bilm.cli import run_main
from bilm.convert import main

if __name__ == "__main__":
    run_main(main)
