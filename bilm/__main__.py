"""`python -m bilm VERB ...`, the same as the console script."""

from bilm.commands.verbs import main

main()
