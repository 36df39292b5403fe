"""With and without ELMo: runs that go on, and whether the difference is significant."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bilm.errors import InputError
from lac.commands import ablate as ablate_command
from lac.commands import train as train_command
from lac.training.ablation import ablate, compare
from lac.training.outcome import Outcome
from tests.reference.refusals import refusal_of
from tests.reference.taggers import LINES, QUICK, arguments, options, small_bilm, write_text


def test_an_ablation_goes_on_where_it_stopped(tmp_path, capsys):
    given = options(tmp_path, elmo=str(small_bilm(tmp_path)), save_dir=str(tmp_path / "ablation"),
                    max_epochs=2)
    first = ablate(given, 2)
    results = (tmp_path / "ablation").glob("*/result.json")
    times = {path: path.stat().st_mtime_ns for path in results}
    assert len(times) == 4
    (tmp_path / "ablation/elmo_seed_1/result.json").unlink()
    again = ablate(given, 2)
    assert again == first
    changed = {path.parent.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"elmo_seed_1"}
    printed = capsys.readouterr().out
    assert "without ELMo  dev F1" in printed and "paired approximate randomisation" in printed
    with pytest.raises(InputError, match="belongs to another ablation: --gru_size is 8, there 16"):
        ablate(replace(given, gru_size=8), 2)
    write_text(tmp_path, LINES[1:])
    with pytest.raises(InputError, match="was made with other data: train, dev data have changed"):
        ablate(given, 2)


def test_runs_of_an_earlier_version_are_not_compared(tmp_path):
    given = options(tmp_path, elmo=str(small_bilm(tmp_path)), save_dir=str(tmp_path / "ablation"),
                    max_epochs=1)
    ablate(given, 1)
    checkpoint = tmp_path / "ablation/none_seed_0/step_00000003"
    path = checkpoint / "training/state.json"
    state = json.loads(path.read_text("utf-8"))
    del state["scored_from"], state["options"]["pieces"]
    path.write_text(json.dumps(state), "utf-8")
    (checkpoint / "checksums.json").unlink()
    with pytest.raises(InputError, match="none_seed_0: was made by an earlier version, which"):
        ablate(given, 1)


def outcome_of(counts):
    return Outcome(1, 1.0, {}, None, counts, {"shares": [1.0], "gamma": 1.0})


@pytest.mark.smoke
def test_the_significance_test():
    """With one seed and few sentences, all exchanges can be enumerated."""
    from itertools import product

    random = np.random.default_rng(0)
    wanted = random.integers(3, 9, 9)
    worse, better = (
        [[int(min(n, random.binomial(n, rate))), int(n), int(n)] for n in wanted]
        for rate in (0.6, 0.85)
    )
    found = compare([outcome_of(worse)], [outcome_of(better)])
    total = 2 * wanted.sum()
    gaps = np.array(better)[:, 0] - np.array(worse)[:, 0]
    difference = 2 * gaps.sum() / total
    assert found["difference"] == pytest.approx(difference)
    flips = np.array(list(product((1, -1), repeat=len(wanted))))
    exact = np.mean(abs(2 * (flips * gaps).sum(axis=1) / total) >= abs(difference) - 1e-12)
    assert found["p_value"] == pytest.approx(exact, abs=0.02)
    same = compare([outcome_of(worse)] * 2, [outcome_of(worse)] * 2)
    assert same["p_value"] == 1.0
    assert same["elmo"]["deviation"] == 0.0


@pytest.mark.parametrize("main, flag", [(ablate_command.main, "--seeds"),
                                        (train_command.main, "--ablation")])
def test_figures_of_an_ablation(tmp_path, capsys, main, flag):
    write_text(tmp_path)
    main(arguments(tmp_path, *QUICK, "--elmo", str(small_bilm(tmp_path)), flag, "1",
                   "--json", f"{tmp_path}/ablation.json"))
    figures = json.loads((tmp_path / "ablation.json").read_text("utf-8"))
    assert figures["finished"] and figures["data"] == "dev" and len(figures["elmo"]["f1"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "" and "without ELMo" in printed.out and "==" not in printed.out


@pytest.mark.parametrize("flags, problem", [
    ([], "lac ablate compares with ELMo: give --elmo"),
    (["--load_pretraining_params", "tagger"],
     "lac ablate trains new taggers: leave --load_pretraining_params out"),
    (["--elmo", "bilm", "--seeds", "0"], "lac ablate needs at least one seed, not 0"),
])
def test_what_cannot_be_compared_is_refused(tmp_path, capsys, flags, problem):
    assert problem in refusal_of(ablate_command.main, arguments(tmp_path, *flags), capsys)
