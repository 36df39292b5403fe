"""The words and tags of a text, line by line, in the formats of `lac tag`."""

import json
from itertools import islice
from typing import Callable, Dict, Iterable, Iterator, List

from lac.analysis import Analysis
from lac.tagged_files import TaggedSentence, to_line

BLOCK_LINES = 256  # analysed together, so that batches are full


def _as_words(_line: str, analysis: Analysis) -> str:
    return " ".join(f"{word}/{tag}" for word, tag in zip(analysis.words, analysis.tags))


def _as_json(line: str, analysis: Analysis) -> str:
    names = ("words", "tags", "tokens", "token_tags")
    values = {name: getattr(analysis, name) for name in names}
    return json.dumps({"text": line, **values}, ensure_ascii=False)


def _as_tsv(_line: str, analysis: Analysis) -> str:
    if not analysis.tokens:
        return ""
    return to_line(TaggedSentence(analysis.tokens, analysis.token_tags))


def _as_conll(_line: str, analysis: Analysis) -> str:
    pairs = zip(analysis.tokens, analysis.token_tags)
    return "".join(f"{token}\t{tag}\n" for token, tag in pairs)


# each makes text of a line and its analysis
FORMATS: Dict[str, Callable[[str, Analysis], str]] = {
    "words": _as_words, "tsv": _as_tsv, "json": _as_json, "conll": _as_conll,
}


def tag_lines(
    analyse: Callable[[List[str]], List[Analysis]],
    lines: Iterable[str],
    form: str = "words",
    block_lines: int = BLOCK_LINES,
) -> Iterator[str]:
    """Yield the output for each line of a text.

    Args:
        analyse: Analyses several lines, such as `LAC.analyse`.
        lines: The lines without line ends.
        form: A key of FORMATS.
        block_lines: Number of lines that are analysed together.
    """
    lines = iter(lines)
    while block := list(islice(lines, block_lines)):
        for line, analysis in zip(block, analyse(block)):
            yield FORMATS[form](line, analysis)
