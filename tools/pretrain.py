"""Pretrain a biLM or resume training; `pretrain.py --help` lists the options."""

from bilm.cli import run_main
from bilm.train import main

if __name__ == "__main__":
    run_main(main)
