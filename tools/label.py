"""Label segmented text by jieba's dictionary; see `--help`."""

from bilm.cli import run_main
from lac.silver_labels import main

if __name__ == "__main__":
    run_main(main)
