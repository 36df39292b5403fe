"""`python -m bilm VERB ...`, the same as the console script."""

from bilm.cli import main

main()
