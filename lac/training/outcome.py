"""How a tagger's training ended: RUN/result.json."""

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from bilm.errors import InputError
from bilm.files import write_text_atomically

RESULT_FILE = "result.json"


class Outcome(NamedTuple):
    """How a finished run ended; it stands in RUN/result.json.

    Attributes:
        best_step: Step of the best checkpoint.
        epochs: Passes over the data, until training stopped.
        dev: Report of the best checkpoint on the dev data; see `SpanScores.report`.
        test: The same on --test_path; None without it.
        sentence_counts: [correct, found, wanted] spans of each sentence of the test data, or
            else of the dev data.
        mix: Shares of the biLM's layers and gamma; None without ELMo.
    """

    best_step: int
    epochs: float
    dev: Dict
    test: Optional[Dict]
    sentence_counts: List[List[int]]
    mix: Optional[Dict]


def write_outcome(run, outcome: Outcome) -> None:
    """Write how a run ended into its folder."""
    write_text_atomically(Path(run) / RESULT_FILE, json.dumps(outcome._asdict()) + "\n")


def read_outcome(run) -> Optional[Outcome]:
    """Return how a run ended; None if it has not.

    Raises:
        InputError: The file that tells is damaged.
    """
    path = Path(run) / RESULT_FILE
    try:
        return Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not a run's result: {error}; score the tagger again with lac evaluate"
        ) from None
