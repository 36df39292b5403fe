"""Segment raw Chinese text into corpus shards; `segment.py --help` lists the options."""

from bilm.commands.segment import main
from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)
