"""The words and tags of a text, line by line, in the formats of `lac tag`."""

import json
from itertools import islice
from typing import Callable, Collection, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from bilm.text.lines import split_words
from lac.analysis import Analysis
from lac.tag_names import ENTITY_TYPES
from lac.tag_schemes import OUTSIDE
from lac.tagged_files import TaggedSentence, to_line

BLOCK_LINES = 256  # analysed together, so that batches are full
_DECIMALS = 6


class OutputOptions(NamedTuple):
    """What the formats hold.

    Attributes:
        confidence: Whether json and entities have confidences.
        entity_types: The types of words that are entities.
    """

    confidence: bool = False
    entity_types: Collection[str] = ENTITY_TYPES


def _as_words(_line: str, analysis: Analysis, _options: OutputOptions) -> str:
    return " ".join(f"{word}/{tag or OUTSIDE}" for word, tag in zip(analysis.words, analysis.tags))


def _as_cut(_line: str, analysis: Analysis, _options: OutputOptions) -> str:
    return " ".join(word for word in analysis.words if not word.isspace())


def _as_json(line: str, analysis: Analysis, options: OutputOptions) -> str:
    names = ["words", "tags", "tokens", "token_tags"]
    values = {name: getattr(analysis, name) for name in names}
    values["offsets"] = analysis.offsets()
    if options.confidence:
        values["confidences"] = [_rounded(value) for value in analysis.confidences]
    return json.dumps({"text": line, **values}, ensure_ascii=False)


def _as_entities(line: str, analysis: Analysis, options: OutputOptions) -> str:
    entities = []
    for entity in analysis.entities(options.entity_types):
        values = entity._replace(confidence=_rounded(entity.confidence))._asdict()
        if not options.confidence:
            del values["confidence"]
        entities.append(values)
    return json.dumps({"text": line, "entities": entities}, ensure_ascii=False)


def _as_tsv(_line: str, analysis: Analysis, _options: OutputOptions) -> str:
    pairs = _tagged_tokens(analysis)
    return to_line(TaggedSentence(*map(list, zip(*pairs)))) if pairs else ""


def _as_conll(_line: str, analysis: Analysis, _options: OutputOptions) -> str:
    return "".join(f"{token}\t{tag}\n" for token, tag in _tagged_tokens(analysis))


def _tagged_tokens(analysis: Analysis) -> List[Tuple[str, str]]:
    """Return tokens and tags without white space, which only models of Baidu's LAC tag."""
    pairs = zip(analysis.tokens, analysis.token_tags)
    return [(token, tag) for token, tag in pairs if split_words(token)]


def _rounded(confidence: Optional[float]) -> Optional[float]:
    return None if confidence is None else round(confidence, _DECIMALS)


# each makes text of a line and its analysis
FORMATS: Dict[str, Callable[[str, Analysis, OutputOptions], str]] = {
    "words": _as_words, "cut": _as_cut, "entities": _as_entities, "tsv": _as_tsv,
    "json": _as_json, "conll": _as_conll,
}
WITH_CONFIDENCE = "json", "entities"  # formats


def tag_lines(
    analyse: Callable[[List[str]], List[Analysis]],
    lines: Iterable[str],
    form: str = "words",
    block_lines: int = BLOCK_LINES,
    options: OutputOptions = OutputOptions(),
) -> Iterator[str]:
    """Yield the output for each line of a text.

    Args:
        analyse: Analyses several lines, such as `LAC.analyse`.
        lines: The lines without line ends.
        form: A key of FORMATS.
        block_lines: Number of lines that are analysed together.
        options: What the format holds.
    """
    lines = iter(lines)
    while block := list(islice(lines, block_lines)):
        for line, analysis in zip(block, analyse(block)):
            yield FORMATS[form](line, analysis, options)
