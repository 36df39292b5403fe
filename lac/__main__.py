"""`python -m lac VERB ...`."""

from lac.commands.verbs import main

main()
