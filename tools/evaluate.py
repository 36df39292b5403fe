"""Exact perplexity of a biLM on segmented text; `evaluate.py --help` lists the options."""

from bilm.cli import run_main
from bilm.evaluate import main

if __name__ == "__main__":
    run_main(main)
