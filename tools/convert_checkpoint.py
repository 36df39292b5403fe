"""Convert a biLM, or a tagger of LARK's LAC demo, and check the result; see `--help`."""

from bilm.program.running import run_main
from lac.commands.convert import main

if __name__ == "__main__":
    run_main(main)
