"""Sentences drawn from a biLM; `generate.py --help` lists the options."""

from bilm.cli import run_main
from bilm.generate import main

if __name__ == "__main__":
    run_main(main)
