"""`python -m bilm.train ...`: the same program as `bilm pretrain ...`, under LARK's name."""

from bilm.commands.pretrain import main
from bilm.program.running import run_main

if __name__ == "__main__":
    run_main(main)
