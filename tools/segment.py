"""Segment raw Chinese text into corpus shards; `segment.py --help` lists the options."""

from bilm.cli import run_main
from bilm.segmentation import main

if __name__ == "__main__":
    run_main(main)
