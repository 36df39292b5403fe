"""Foreign weight files: one module a format, NumPy only, nothing in them is ever executed."""
