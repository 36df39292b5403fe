"""Build a vocabulary from corpus shards; `build_vocab.py --help` lists the options."""

from bilm.commands.vocab import main
from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)
