"""Sizes and switches of a tagger, checked together."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Iterator, Optional

from bilm.errors import InputError
from bilm.network.mixes import VARIANTS
from bilm.text.vocabulary import UNKNOWN
from lac.analysis import CONVENTIONS
from lac.tag_schemes import SCHEMES

ELMO_READS = ("pieces", "words")


@dataclass(frozen=True)
class TaggerConfig:
    """Sizes and switches of a tagger. The default sizes are those of LARK's LAC demo.

    Args:
        num_words: Rows of the word embedding, the special tokens included.
        num_tags: Number of tags, such as n-B.
        scheme: How the tags mark spans, one of `lac.tag_schemes.SCHEMES`.
        word_embedding_size: Size of the word embedding.
        gru_size: Size of a GRU's state, for each direction.
        num_layers: Number of BiGRU layers.
        dropout: Probability at the input of each BiGRU layer and on the top output.
        elmo_variant: "elmo" or "lark", see `bilm.ELMo`; None: a tagger without ELMo.
        elmo_unknown: What ELMo reads for a word that its biLM does not know: "unk" or
            "characters", the mean of its characters' vectors, see `bilm.Vocabulary.pieces`.
        elmo_dropout: Dropout inside ELMo: see `bilm.ELMo`.
        num_characters: Rows of the character embedding; 0: no character features.
        character_size: Size of a word's character features, and of the character embedding.
        reset_before: The kind of GRU: see `lac.network.gru.bidirectional_gru`.
        constrained_decoding: Whether the scheme forbids sequences of tags.
        convention: How tags are read as words, one of `lac.analysis.CONVENTIONS`.
        elmo_reads: "pieces": ELMo has a vector for each piece; "words": one for each word of its
            own segmentation, which is that of every piece in it.

    Raises:
        InputError: One or more fields are out of range; the message lists all of them.
    """

    num_words: int
    num_tags: int
    scheme: str
    word_embedding_size: int = 128
    gru_size: int = 256
    num_layers: int = 2
    dropout: float = 0.0
    elmo_variant: Optional[str] = None
    elmo_unknown: str = "characters"
    elmo_dropout: float = 0.2
    num_characters: int = 0
    character_size: int = 64
    reset_before: bool = False
    constrained_decoding: bool = True
    convention: str = "spans"
    elmo_reads: str = "pieces"

    def __post_init__(self) -> None:
        problems = [*self._problems()]
        if problems:
            raise InputError("TaggerConfig: " + "; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type is bool and type(value) is not bool:
                yield f"{item.name} must be true or false, not {value!r}"
            elif item.type is int and type(value) is not int:
                yield f"{item.name} must be a whole number, not {value!r}"
            elif item.type is int and value < (item.name != "num_characters"):
                yield f"{item.name} must be at least 1, not {value}"
            elif item.type is float and not (_is_number(value) and 0 <= value < 1):
                yield f"{item.name} must be a number in [0, 1), not {value!r}"
        for name, allowed in (
            ("scheme", SCHEMES), ("elmo_variant", (None, *VARIANTS)), ("elmo_unknown", UNKNOWN),
            ("convention", CONVENTIONS), ("elmo_reads", ELMO_READS),
        ):
            value = getattr(self, name)
            if value not in allowed:
                yield f"{name} must be one of {', '.join(map(str, allowed))}, not {value!r}"

    def to_json(self) -> str:
        """Return the fields as JSON text, one a line, in the order of their definition."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: Dict[str, Any], source: str) -> "TaggerConfig":
        """Return the configuration with these fields.

        Args:
            values: Fields by name.
            source: Where they come from, for messages.

        Raises:
            InputError: A key is unknown, a needed one is missing, or a value out of range.
        """
        unknown = sorted(set(values) - {item.name for item in fields(cls)})
        missing = sorted({"num_words", "num_tags", "scheme"} - set(values))
        if unknown or missing:
            problems = [f"unknown keys: {', '.join(unknown)}"] * bool(unknown)
            problems += [f"missing keys: {', '.join(missing)}"] * bool(missing)
            raise InputError(f"{source}: is no tagger's configuration: {'; '.join(problems)}")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
