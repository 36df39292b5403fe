"""Pictures of learning curves."""

import json

import pytest

from bilm.errors import InputError
from bilm.plot import main


def test_a_run_becomes_a_picture(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    lines = [{"step": step, "perplexity": 100 / step} for step in (1, 2, 3)]
    lines.append({"event": "dev", "step": 3, "perplexity": 40.0})
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    main([str(run), "--output", str(tmp_path / "curve.svg")])
    picture = (tmp_path / "curve.svg").read_text()
    assert "curve.svg" in capsys.readouterr().out
    assert "run: train" in picture and "run: dev" in picture


def test_a_folder_without_metrics_is_named(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match="metrics.jsonl"):
        main([str(tmp_path), "--output", str(tmp_path / "x.png")])


def test_the_run_of_a_tagger_is_told(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 5.0}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no run of bilm pretrain"):
        main([str(tmp_path), "--output", str(tmp_path / "curve.png")])
