"""Contextual vectors of every word of a text, as HDF5; `embed.py --help` lists the options."""

from bilm.cli import run_main
from bilm.embed_files import main

if __name__ == "__main__":
    run_main(main)
