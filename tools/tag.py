"""Words and tags of a text; see `--help`."""

from bilm.cli import run_main
from lac.tag_files import main

if __name__ == "__main__":
    run_main(main)
