"""Log-probability of each word and sentence of a text; `score.py --help` lists the options."""

from bilm.cli import run_main
from bilm.score import main

if __name__ == "__main__":
    run_main(main)
