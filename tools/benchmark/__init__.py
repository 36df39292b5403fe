"""Our speed and memory beside those of other systems; `tools/bench.py` is the program."""
