"""Where tests find files: the checkout, and what lies in tests/."""

from pathlib import Path

REFERENCE = Path(__file__).resolve().parent
ROOT = REFERENCE.parents[1]  # of the checkout, or of the folder that tests/ was copied to
FIXTURES = REFERENCE.parent / "fixtures"
LARK_LAC = FIXTURES / "lark-lac"
