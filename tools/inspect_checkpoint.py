"""What a checkpoint holds, what it lacks, and checksums of its tensors; see `--help`."""

from bilm.cli import run_main
from bilm.inspection import main

if __name__ == "__main__":
    run_main(main)
