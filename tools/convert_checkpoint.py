"""Convert a biLM, or a tagger of LARK's LAC demo, and check the result; see `--help`."""

from bilm.cli import run_main
from lac.convert import main

if __name__ == "__main__":
    run_main(main)
