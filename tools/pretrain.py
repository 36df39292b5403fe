"""Pretrain a biLM or resume training; `pretrain.py --help` lists the options."""

from bilm.commands.pretrain import main
from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)
