"""`python -m lac VERB ...`."""

from lac.cli import main

main()
