"""The verbs of `lac`, one file each: parser and `main`."""
