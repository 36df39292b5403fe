"""The result of a tagger's training: RUN/result.json."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from bilm.errors import InputError
from bilm.files import PathLike, read_json, write_text_atomically

RESULT_FILE = "result.json"


class Outcome(NamedTuple):
    """The result of a finished run.

    Attributes:
        best_step: Step of the best checkpoint.
        epochs: Passes over the data until training stopped.
        dev: Report of the best checkpoint on the dev data; see `WordScores.report`.
        test: The same on --test_path; None without it.
        sentence_counts: Numbers of [correct, predicted, expected] words with tags of each
            sentence of the test data, or else of the dev data.
        mix: Shares of the biLM's layers and gamma; None without ELMo.
    """

    best_step: int
    epochs: float
    dev: Dict[str, Any]
    test: Optional[Dict[str, Any]]
    sentence_counts: List[List[int]]
    mix: Optional[Dict[str, Any]]


def write_outcome(run: PathLike, outcome: Outcome) -> None:
    """Write the result of a run into its folder."""
    write_text_atomically(Path(run) / RESULT_FILE, json.dumps(outcome._asdict()) + "\n")


def read_outcome(run: PathLike) -> Optional[Outcome]:
    """Return the result of a run; None if the run has not finished.

    Raises:
        InputError: The file is damaged.
    """
    path = Path(run) / RESULT_FILE
    if not path.is_file():
        return None
    values = read_json(path)
    try:
        return Outcome(**values)
    except TypeError as error:
        raise InputError(
            f"{path}: not a run's result: {error}; score the tagger again with lac evaluate"
        ) from None
