"""`lac tag`: the words and tags of a text, line by line.

Formats:
  words  `word/tag word/tag`, spans joined; white space of the text is a word, too
  json   an object a line: text, words and tags (spans joined), tokens and token_tags
  tsv    tokens, a tab and the model's tags, as `lac train` and `lac evaluate` read them
  conll  a token, a tab and its tag a line, an empty line after each line of the text

Each line of the text is a line of words, json and tsv, an empty one too. tsv and conll hold no
white space.
"""

import json
from itertools import islice
from typing import Iterable, Iterator

from lac.tagged_files import TaggedSentence, to_line
from lac.tagging import LAC, Analysis

_LINES = 256  # analysed together, so that batches are full


def _as_words(_line, found: Analysis) -> str:
    return " ".join(f"{word}/{tag}" for word, tag in zip(found.words, found.tags))


def _as_json(line, found: Analysis) -> str:
    told = {name: getattr(found, name) for name in ("words", "tags", "tokens", "token_tags")}
    return json.dumps({"text": line, **told}, ensure_ascii=False)


def _as_tsv(_line, found: Analysis) -> str:
    return to_line(TaggedSentence(found.tokens, found.token_tags)) if found.tokens else ""


def _as_conll(_line, found: Analysis) -> str:
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(found.tokens, found.token_tags))


FORMATS = {"words": _as_words, "tsv": _as_tsv, "json": _as_json, "conll": _as_conll}


def tag_lines(
    lac: LAC,
    lines: Iterable[str],
    form: str = "words",
    segmented: bool = False,
    block_lines: int = _LINES,
) -> Iterator[str]:
    """Yield what is printed for each line of a text.

    Args:
        lac: The tagger.
        lines: Without line ends.
        form: A key of FORMATS.
        segmented: See `LAC.analyse`.
        block_lines: How many are tagged together.
    """
    lines = iter(lines)
    while block := list(islice(lines, block_lines)):
        for line, found in zip(block, lac.analyse(block, segmented)):
            yield FORMATS[form](line, found)
