"""The verbs of `bilm`, one file each: parser and `main`."""
