"""How far two checkpoints are apart, tensor by tensor; see `--help`."""

from bilm.cli import run_main
from bilm.comparison import main

if __name__ == "__main__":
    run_main(main)
