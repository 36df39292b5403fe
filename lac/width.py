"""Folding of full-width and half-width characters, in whose width words may be typed.

`Ａ１，` and `A1,` are the same to a reader, but not to a vocabulary. The table maps each form
that Unicode has for width alone to the ordinary one: full-width Latin letters, digits and signs to
ASCII, half-width katakana to katakana. Words are folded when a model looks them up; the text
itself is never changed.

Run as `python -m lac.width` to print the table, which `data/lac/width.tsv` holds.
"""

import sys
import unicodedata
from functools import lru_cache
from typing import Dict

from bilm.errors import InputError
from bilm.files import PathLike
from bilm.text.lines import numbered_lines

WIDTH_FILE = "width.tsv"


@lru_cache(maxsize=1)
def unicode_table() -> Dict[str, str]:
    """Return the ordinary form of each character that differs from it by its width only.

    White space is left out, because it is part of no word.

    Source: Unicode Character Database, decompositions `<wide>` and `<narrow>`.
    """
    table = {}
    for code in range(sys.maxunicode + 1):
        kind, _, ordinary = unicodedata.decomposition(chr(code)).partition(" ")
        if kind in ("<wide>", "<narrow>") and not chr(code).isspace():
            table[chr(code)] = chr(int(ordinary, 16))
    return table


def to_text(table: Dict[str, str]) -> str:
    """Return the content of a table's file: `form<TAB>ordinary form` in each line."""
    return "".join(f"{form}\t{ordinary}\n" for form, ordinary in sorted(table.items()))


def load_table(path: PathLike) -> Dict[str, str]:
    """Return the table in a file in the form of `to_text`, such as LARK's q2b.dic.

    Raises:
        InputError: A line does not have this form, or maps a character a second time.
    """
    table: Dict[str, str] = {}
    for number, line in numbered_lines(path):
        if not line:
            continue
        form, tab, ordinary = line.partition("\t")
        if form.isspace() and ordinary.isspace():
            continue  # q2b.dic folds spaces, which are part of no word
        is_new_form = tab and len(form) == 1 and form not in table
        if not is_new_form or ordinary.split() != [ordinary]:
            raise InputError(
                f"{path}, line {number}: expected a character not yet seen, a tab and what stands "
                f"for it, found {line!r}"
            )
        table[form] = ordinary
    return table


class WidthFolder:
    """Folds words by a table of characters.

    Args:
        table: The ordinary form of each character that is folded.
    """

    def __init__(self, table: Dict[str, str]):
        self.table = dict(table)
        self._by_code = str.maketrans(self.table)

    def fold(self, word: str) -> str:
        """Return the word with every character in its ordinary form."""
        return word.translate(self._by_code)


class WholeWordFolder(WidthFolder):
    """Folds words that are one character of the table; longer words remain as they are.

    Source: LAC 2.1.2 looks up a whole word in its table, whose entries are single characters.

    Examples:
        >>> [WholeWordFolder({"Ａ": "a"}).fold(word) for word in ("Ａ", "ＡＡ")]
        ['a', 'ＡＡ']
    """

    def fold(self, word: str) -> str:
        """Return what the table has for the word, or the word itself."""
        return self.table.get(word, word)


if __name__ == "__main__":
    sys.stdout.buffer.write(to_text(unicode_table()).encode("utf-8"))
