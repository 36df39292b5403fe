"""The sizes and switches that define a biLM; saved as `config.json` beside its weights."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Optional, Union

from bilm.errors import InputError
from bilm.files import PathLike, parse_json
from bilm.text.characters import MAX_CHARACTERS, character_option_problems


@dataclass(frozen=True)
class BiLMConfig:
    """The sizes and switches of a biLM. The defaults are those of LARK's published model.

    Examples:
        >>> config = BiLMConfig(vocab_size=1000, projection_size=64, cell_size=256)
        >>> config.num_layers, config.num_directions
        (2, 2)
        >>> BiLMConfig(vocab_size=1000, dropout=1.5)
        Traceback (most recent call last):
        bilm.errors.InputError: BiLMConfig: dropout must be in [0, 1), not 1.5

    Source: LARK ELMo (Baidu, 2019) for sizes and clips; Peters et al. 2018, section 3,
    for the architecture.

    Args:
        vocab_size: Number of words, the special tokens included.
        projection_size: Size of word embeddings and of LSTM outputs (LARK: embed_size).
        cell_size: Size of LSTM cells (LARK: hidden_size).
        num_layers: LSTM layers of each direction.
        cell_clip: Cells are clipped to +-cell_clip; 0 means no clip.
        projection_clip: Projected outputs are clipped to +-projection_clip; 0 means no clip.
        use_skip_connections: Whether layers from the second on add their input to their output.
        bidirectional: Whether there is a backward direction beside the forward one.
        share_softmax: Whether both directions predict with the same softmax weights.
        dropout: Probability at the input of each LSTM layer and on the top output.
        bos_id: Id of `<S>`.
        eos_id: Id of `</S>`.
        unk_id: Id of `<UNK>`.
        char_cnn: Makes each word's vector from its characters instead of looking it up; the
            keys are those of bilm-tf's options.json: embedding {dim}, filters [[width,
            number], ...], activation ("relu" or "tanh"), max_characters_per_token,
            n_characters (261, or 262 with the mask) and n_highway. None: a word embedding.

    Raises:
        InputError: One or more fields are out of range; the message lists all of them.
    """

    vocab_size: int
    projection_size: int = 512
    cell_size: int = 4096
    num_layers: int = 2
    cell_clip: float = 3.0
    projection_clip: float = 3.0
    use_skip_connections: bool = True
    bidirectional: bool = True
    share_softmax: bool = True
    dropout: float = 0.1
    bos_id: int = 0
    eos_id: int = 1
    unk_id: int = 2
    char_cnn: Optional[dict] = None

    def __post_init__(self):
        if isinstance(self.char_cnn, dict):  # a copy of its own, as plain JSON
            object.__setattr__(self, "char_cnn", _plain_copy(self.char_cnn))
        problems = [*self._type_problems()] or [*self._range_problems()]
        if problems:
            raise InputError("BiLMConfig: " + "; ".join(problems))

    def __hash__(self):
        return hash(self.to_json())

    @property
    def num_directions(self) -> int:
        """2 for a bidirectional model, 1 for one that only reads forward."""
        return 2 if self.bidirectional else 1

    @property
    def max_characters(self) -> int:
        """Number of character ids of a word; only for a model with a character encoder."""
        return (self.char_cnn or {}).get("max_characters_per_token", MAX_CHARACTERS)

    def _type_problems(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is float:
                fits = isinstance(value, (int, float)) and not isinstance(value, bool)
            elif field.type in (int, bool):
                fits = type(value) is field.type
            else:
                continue
            if not fits:
                yield f"{field.name} must be of type {field.type.__name__}, not {value!r}"

    def _range_problems(self):
        for name in ("vocab_size", "projection_size", "cell_size", "num_layers"):
            if getattr(self, name) < 1:
                yield f"{name} must be at least 1, not {getattr(self, name)}"
        for name in ("cell_clip", "projection_clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                yield f"{name} must be 0 (no clip) or positive, not {getattr(self, name)}"
        if not 0 <= self.dropout < 1:
            yield f"dropout must be in [0, 1), not {self.dropout}"
        special_ids = (self.bos_id, self.eos_id, self.unk_id)
        for name, value in zip(("bos_id", "eos_id", "unk_id"), special_ids):
            if not 0 <= value < max(self.vocab_size, 1):
                yield f"{name} must be an id below vocab_size {self.vocab_size}, not {value}"
        if len(set(special_ids)) < 3:
            yield f"bos_id, eos_id and unk_id must differ, not {special_ids}"
        if self.char_cnn is not None:
            yield from character_option_problems(self.char_cnn)

    def to_json(self) -> str:
        """Return the fields as JSON text, one a line, in the order of their definition."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: Union[str, bytes], source: str = "config.json") -> "BiLMConfig":
        """Return the configuration that a text of `to_json` describes.

        Args:
            text: A JSON object; UTF-8 if bytes.
            source: Where the text comes from, for error messages.

        Raises:
            InputError: The text is no JSON object, a key is unknown, vocab_size is
                missing, or a value is out of range.
        """
        values = parse_json(text, source)
        if "num_tags" in values:
            raise InputError(
                f"{source}: is that of a tagger, not of a biLM; the tagger's biLM is in the folder "
                "elmo beside it, if it has one"
            )
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(f"{source}: unknown keys: {', '.join(unknown)}")
        if "vocab_size" not in values:
            raise InputError(f"{source}: vocab_size is missing")
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    @classmethod
    def load(cls, path: PathLike) -> "BiLMConfig":
        """Return the configuration stored in the file at `path`.

        Raises:
            InputError: The file is no JSON object, a key is unknown, vocab_size is missing, or a
                value is out of range.
            OSError: The file cannot be read.
        """
        return cls.from_json(Path(path).read_bytes(), source=str(path))

    @classmethod
    def from_pretrained(cls, path: PathLike) -> "BiLMConfig":
        """Return the configuration of the biLM at `path`.

        Args:
            path: A model folder, a training run's folder, or another format that
                `bilm.storage.pretrained` lists.

        Raises:
            InputError: There is no biLM.
        """
        from bilm.storage.pretrained import read_config

        return read_config(path)


def _plain_copy(value):
    """Return a copy of a JSON value, with lists for tuples."""
    if isinstance(value, dict):
        return {name: _plain_copy(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_copy(item) for item in value]
    return value
