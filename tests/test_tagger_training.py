"""Training a tagger: it learns, stops, resumes to the bit, and tells what is wrong."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.metrics import read_metrics
from bilm.pretrained import read_pretrained
from bilm.runs import RunFolder, latest_checkpoint
from lac.ablation import ablate, compare
from lac.model_folder import read_tagger
from lac.outcome import Outcome, read_outcome
from lac.pretrained import load_predictor
from lac.run import TaggerRun
from lac.run_setup import set_up
from lac.tagged_files import read_tagged
from lac.train import main, read_resumable, train, train_in
from tests.refusals import refusal_of
from tests.taggers import LINES, options, small_bilm, trained, write_text


def weights_of_run(run):
    return read_tagger(run).weights


def assert_equal_runs(first, second):
    one, other = weights_of_run(first), weights_of_run(second)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    assert read_metrics_without_speed(first) == read_metrics_without_speed(second)


def read_metrics_without_speed(run):
    return [{name: value for name, value in line.items() if name != "tokens_per_second"}
            for line in read_metrics(Path(run) / "metrics.jsonl")]


@pytest.mark.smoke
@pytest.mark.parametrize("changes", [
    {}, {"elmo": "bilm"}, {"char_features": True}, {"elmo": "bilm", "finetune_elmo": True},
    {"elmo": "bilm", "variant": "lark"},
], ids=str)
def test_a_tagger_learns_its_sentences_and_loads_again(tmp_path, changes):
    if "elmo" in changes:
        changes = {**changes, "elmo": str(small_bilm(tmp_path))}
    run = trained(tmp_path, **changes)
    outcome = read_outcome(run)
    assert outcome.dev["f1"] == 1.0
    corpus = read_tagged(tmp_path / "train.tsv")
    predictor = load_predictor(run)
    found = predictor.predict([sentence.tokens for sentence in corpus.sentences])
    assert found == [sentence.tags for sentence in corpus.sentences]
    alone = [predictor.predict([sentence.tokens])[0] for sentence in corpus.sentences]
    assert alone == found


def test_a_frozen_bilm_stays_and_a_tuned_one_changes(tmp_path):
    bilm = small_bilm(tmp_path)
    before = read_pretrained(bilm).weights
    for finetune in (False, True):
        folder = tmp_path / str(finetune)
        folder.mkdir()
        train(options(folder, elmo=str(bilm), finetune_elmo=finetune, max_epochs=2))
        after = read_pretrained(read_tagger(folder / "run").elmo).weights
        assert not any("softmax" in name for name in after)
        changed = [name for name in after if not np.array_equal(after[name], before[name])]
        assert bool(changed) is finetune
        assert len(changed) in (0, len(after))


@pytest.mark.smoke
def test_the_layers_in_a_file_train_as_those_in_memory_and_those_not_cached(tmp_path):
    bilm = str(small_bilm(tmp_path))
    write_text(tmp_path)
    in_memory = options(tmp_path, elmo=bilm, save_dir=str(tmp_path / "memory"), dropout=0.0,
                        elmo_dropout=0.0)  # whose noise depends on the rows that are computed
    train(in_memory)
    with RunFolder(tmp_path / "file", "--save_dir") as folder:
        in_file = set_up(
            replace(in_memory, save_dir=str(tmp_path / "file"), cache_megabytes=0), folder
        )
        assert not in_file.dev_cache.in_memory
        TaggerRun(in_file).train()
    assert_equal_runs(tmp_path / "memory", tmp_path / "file")
    assert {path.name for path in (tmp_path / "file").iterdir()} == {
        path.name for path in (tmp_path / "memory").iterdir()
    }
    with RunFolder(tmp_path / "direct", "--save_dir") as folder:
        direct = set_up(replace(in_memory, save_dir=str(tmp_path / "direct")), folder)
        direct.trainer._cache = None
        TaggerRun(direct._replace(dev_cache=None)).train()
    one, other = weights_of_run(tmp_path / "memory"), weights_of_run(tmp_path / "direct")
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], atol=1e-4, err_msg=name)


def test_no_room_for_the_layers_is_told(tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="no room for 0 MB of ELMo layers: No space left"):
        train(options(tmp_path, elmo=str(small_bilm(tmp_path)), cache_megabytes=0))


@pytest.mark.parametrize("changes", [
    {}, {"elmo": "bilm", "finetune_elmo": True}, {"elmo": "bilm", "char_features": True},
], ids=str)
@pytest.mark.parametrize("stop_at", [2, 6, 7])  # within an epoch, at its end, after it
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, changes, stop_at):
    if "elmo" in changes:
        changes = {**changes, "elmo": str(small_bilm(tmp_path))}
    whole = options(tmp_path, save_dir=str(tmp_path / "whole"), **changes)
    train(whole)
    parts = replace(whole, save_dir=str(tmp_path / "parts"))
    with RunFolder(parts.save_dir, "--save_dir") as folder:
        run = TaggerRun(set_up(parts, folder))
        step = run.trainer.train_step

        def step_and_signal():
            result = step()
            if run.trainer.step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return result

        run.trainer.train_step = step_and_signal
        assert run.train() is None
        source, saved, training = read_resumable(folder)
        assert source.name == f"step_{stop_at:08d}"
        assert train_in(folder, type(whole)(**saved), source, training) is not None
    assert_equal_runs(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c_in_a_process_saves_and_tells_how_to_go_on(tmp_path):
    write_text(tmp_path)
    command = [
        sys.executable, "-u", "-m", "lac.train", "--train_path", "train.tsv", "--dev_path",
        "train.tsv", "--save_dir", "run", "--max_epochs", "100000", "--patience", "100000",
        "--log_interval", "1", "--gru_size", "8", "--batch_size", "4",
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for line in process.stdout:
        if line.startswith("step 5/"):
            break
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "stopped by SIGINT at step" in out
    assert "lac train --resume --save_dir run" in out
    done = subprocess.run(
        [*command[:4], "--resume", "--save_dir", "run", "--max_steps", "40"], cwd=tmp_path,
        env=environment, text=True, capture_output=True, check=True,
    )
    assert "finished at" in done.stdout


@pytest.mark.parametrize("finetune", [False, True])
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, finetune):
    write_text(tmp_path)
    small_bilm(tmp_path)
    common = ["--train_path", "train.tsv", "--dev_path", "train.tsv", "--elmo", "bilm",
              "--finetune_elmo", str(finetune), "--gru_size", "8", "--batch_size", "2",
              "--log_interval", "1", "--max_epochs", "8", "--patience", "50", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def start(*more):
        return subprocess.Popen([sys.executable, "-u", "-m", "lac.train", *more], cwd=tmp_path,
                                env=environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)

    with start(*common, "--save_dir", "whole") as process:
        process.communicate()
    with start(*common, "--save_dir", "killed") as process:
        for line in process.stdout:
            if line.startswith("step 13/"):  # within the fourth epoch
                break
        process.kill()
    with start("--resume", "--save_dir", "killed") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "finished at epoch 8.00" in out
    assert_equal_runs(tmp_path / "whole", tmp_path / "killed")
    one, other = (read_pretrained(read_tagger(tmp_path / name).elmo).weights
                  for name in ("whole", "killed"))
    assert all(np.array_equal(array, other[name]) for name, array in one.items())


def test_training_stops_when_the_dev_f1_rises_no_more(tmp_path):
    run = trained(tmp_path, patience=3, max_epochs=500)
    lines = [line for line in read_metrics(run / "metrics.jsonl") if line.get("event") == "dev"]
    best = max(range(len(lines)), key=lambda number: (lines[number]["f1"], -number))
    assert len(lines) == best + 1 + 3
    assert read_outcome(run).best_step == lines[best]["step"]
    assert (run / "best").read_text().strip() == f"step_{lines[best]['step']:08d}"
    kept = {path.name for path in run.glob("step_*")}
    assert kept == {(run / "best").read_text().strip(), (run / "latest").read_text().strip()}


def test_the_mix_is_logged_at_every_evaluation_and_stored(tmp_path):
    run = trained(tmp_path, elmo=str(small_bilm(tmp_path)), max_epochs=3)
    lines = [line for line in read_metrics(run / "metrics.jsonl") if line.get("event") == "dev"]
    assert len(lines) == 3
    for line in lines:
        assert sum(line["mix"]["shares"]) == pytest.approx(1, abs=1e-5)
    assert lines[0]["mix"] != lines[2]["mix"]
    from bilm.mixes import read_mixes

    assert read_mixes(read_tagger(run).elmo.parent).variant == "elmo"


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(options(tmp_path, save_dir=str(tmp_path / name), random_seed=seed))
    assert_equal_runs(tmp_path / "a", tmp_path / "b")
    first, third = weights_of_run(tmp_path / "a"), weights_of_run(tmp_path / "c")
    assert not np.array_equal(first["emissions.weight"], third["emissions.weight"])


def test_further_training_keeps_words_tags_and_user_dictionary(tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("青石镇/ns\n", encoding="utf-8")
    run = trained(tmp_path, customization=str(dictionary))
    again = options(tmp_path, save_dir=str(tmp_path / "again"), max_epochs=1,
                    load_pretraining_params=str(run), word_embedding_size=128, gru_size=256,
                    dropout=0.3)  # the options' defaults; the tagger's own sizes count
    with pytest.raises(InputError, match=f"--finetune_elmo: {run} has no ELMo"):
        train(replace(again, finetune_elmo=True))
    train(again)
    first, second = read_tagger(run), read_tagger(tmp_path / "again")
    assert second.customization.to_text() == "青石镇/ns\n"
    assert (first.tags, first.words) == (second.tags, second.words)
    assert not np.array_equal(first.weights["emissions.weight"], second.weights["emissions.weight"])
    assert read_outcome(tmp_path / "again").dev["f1"] > 0.9  # it started from what was learned


def test_dev_labels_that_training_lacks_are_told_and_count_as_wrong(tmp_path, capsys):
    write_text(tmp_path)
    dev = write_text(tmp_path, ["小林 来 了\tnr-B v-B zz-B"], "dev.tsv")
    outcome = train(options(tmp_path, dev_path=str(dev), max_epochs=20))
    assert "does not know, all of which count as wrong: zz-B (1)" in capsys.readouterr().err
    assert outcome.dev["types"]["zz"]["recall"] == 0
    assert outcome.dev["recall"] <= 2 / 3


def test_a_word_a_line_is_remarked(tmp_path, capsys):
    write_text(tmp_path, ["我\tO", "小林\tnr-B"])
    train(options(tmp_path, max_epochs=1))
    assert "one word a line is CoNLL's form" in capsys.readouterr().err


def test_other_line_formats_and_schemes_train(tmp_path):
    lines = ["小林/B-nr 来/S-v 了/O", "陈/B-nr 晨/E-nr 走/S-v"]
    lines[0] = "小林/S-nr 来/S-v 了/O"
    write_text(tmp_path, lines)
    outcome = train(options(tmp_path, max_epochs=60, unknown_rate=0.0))
    assert outcome.dev["f1"] == 1.0
    assert set(outcome.dev["types"]) == {"nr", "v"}


def arguments(folder, *more):
    return ["--train_path", str(folder / "train.tsv"), "--dev_path", str(folder / "train.tsv"),
            "--save_dir", str(folder / "run"), *more]


def test_a_tag_file_that_lacks_a_tag_of_the_data(tmp_path, capsys):
    write_text(tmp_path)
    (tmp_path / "tags.txt").write_text("n-B\nv-B\n", encoding="utf-8")
    error = refusal_of(
        main, arguments(tmp_path, "--label_dict_path", str(tmp_path / "tags.txt")), capsys
    )
    assert "tags.txt: lacks tags that occur in" in error
    assert "nr-B, nr-I" in error
    assert not (tmp_path / "run").exists()


def test_larks_flags_are_understood(tmp_path, capsys):
    write_text(tmp_path)
    main([
        "--traindata_dir", str(tmp_path), "--testdata_dir", f"{tmp_path}/*.tsv",
        "--model_save_dir", str(tmp_path / "run"), "--grnn_hidden_dim", "8", "--word_emb_dim", "8",
        "--bigru_num", "1", "--base_learning_rate", "0.01", "--emb_learning_rate", "2",
        "--crf_learning_rate", "0.5", "--num_iterations", "4", "--save_model_per_batchs", "2",
        "--eval_window", "7", "--pretrain_elmo_model_path", "none", "--corpus_type_list", "a",
    ])
    printed = capsys.readouterr()
    assert "--corpus_type_list is obsolete and ignored" in printed.err
    steps = [line["step"] for line in read_metrics(tmp_path / "run/metrics.jsonl")
             if line.get("event") == "dev"]
    assert steps == [2, 4]
    config = read_tagger(tmp_path / "run").config
    assert (config.gru_size, config.word_embedding_size, config.num_layers) == (8, 8, 1)


@pytest.mark.parametrize("more, told", [
    (["--dropout", "1"], "--dropout must be in [0, 1)"),
    (["--elmo", "nowhere"], "nowhere: no biLM there"),
    (["--finetune_elmo"], "--finetune_elmo needs --elmo"),
    (["--load_pretraining_params", "nowhere"], "nowhere: no tagger there"),
    (["--ablation", "2"], "--ablation compares with ELMo"),
    (["--use_gpu", "True"], "--use_gpu True: "),
    (["--resume"], "no checkpoint to resume from"),
    (["--test_path", "nowhere.tsv"], "no such file or folder: nowhere.tsv"),
    (["--load_pretraining_params", "x", "--gru_size", "9"], "--gru_size goes without"),
])
def test_bad_arguments_are_one_line(tmp_path, capsys, more, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path)
    assert told in refusal_of(main, arguments(tmp_path, *more), capsys)


def test_a_folder_of_another_run_and_changed_data_are_refused(tmp_path, capsys):
    given = options(tmp_path, max_epochs=1)
    train(given)
    with pytest.raises(InputError, match="holds checkpoints of another run; add --resume"):
        train(given)
    error = refusal_of(
        main, ["--resume", "--save_dir", given.save_dir, "--gru_size", "99"], capsys
    )
    assert "cannot be continued: --gru_size is 99, the checkpoint was trained with 16" in error
    write_text(tmp_path, [line.replace("v-B", "n-B") for line in LINES])
    error = refusal_of(main, ["--resume", "--save_dir", given.save_dir], capsys)
    assert "has changed since this run started; start a new one" in error


@pytest.mark.parametrize("damage, told", [
    (lambda folder: (folder / "state.json").write_text("{}"), "state.json: lacks options, step"),
    (lambda folder: (folder / "state.json").unlink(), "missing state.json; use another checkpoint"),
    (lambda folder: (folder / "optimizer.safetensors").unlink(), "missing optimizer.safetensors"),
])
def test_damaged_training_state_is_told(tmp_path, capsys, damage, told):
    given = options(tmp_path, max_epochs=1)
    train(given)
    checkpoint = latest_checkpoint(given.save_dir)
    (checkpoint / "checksums.json").unlink()
    damage(checkpoint / "training")
    assert told in refusal_of(main, ["--resume", "--save_dir", given.save_dir], capsys)


def test_a_full_width_vocabulary_is_folded_as_the_words_are(tmp_path):
    (tmp_path / "words.txt").write_text("<S>\n</S>\n<UNK>\n，\n,\n！\n很\n", encoding="utf-8")
    run = trained(tmp_path, max_epochs=1, word_dict_path=str(tmp_path / "words.txt"))
    lookup = read_tagger(run).lookup()
    assert lookup([["，", ",", "！", "!", "很", "？"]]).words.tolist() == [[3, 3, 4, 4, 5, 2]]


def test_a_dictionary_that_has_gone_does_not_stop_resuming(tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("青石镇/ns\n", encoding="utf-8")
    given = options(tmp_path, max_epochs=1, customization=str(dictionary))
    train(given)
    dictionary.unlink()
    main(["--resume", "--save_dir", given.save_dir, "--max_epochs", "2"])
    assert read_tagger(given.save_dir).customization.to_text() == "青石镇/ns\n"


def test_tag_files_of_another_scheme_are_refused_before_training(tmp_path):
    write_text(tmp_path, ["陈 晨\tB-nr I-nr"])
    (tmp_path / "tags.txt").write_text("B-nr\nI-nr\nv\n", encoding="utf-8")
    with pytest.raises(InputError, match="tags.txt: not written in the scheme prefix: v"):
        train(options(tmp_path, label_dict_path=str(tmp_path / "tags.txt")))


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


def test_figures_of_training_and_of_an_ablation(tmp_path, capsys):
    write_text(tmp_path)
    given = ["--train_path", f"{tmp_path}/train.tsv", "--dev_path", f"{tmp_path}/train.tsv",
             "--gru_size", "8", "--word_embedding_size", "8", "--num_layers", "1",
             "--max_epochs", "2", "--quiet"]
    main([*given, "--save_dir", f"{tmp_path}/run", "--json", "-"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["finished"] and "sentence_counts" not in found
    assert found["dev"] == read_outcome(tmp_path / "run").dev
    assert (Path(found["model"]) / "config.json").is_file()
    assert printed.err.startswith("finished at epoch 2.00") and printed.err.count("\n") == 1

    main([*given, "--save_dir", f"{tmp_path}/both", "--elmo", str(small_bilm(tmp_path)),
          "--ablation", "1", "--json", f"{tmp_path}/ablation.json"])
    found = json.loads((tmp_path / "ablation.json").read_text("utf-8"))
    assert found["finished"] and found["data"] == "dev" and len(found["elmo"]["f1"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "" and "without ELMo" in printed.out and "==" not in printed.out


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


def test_figures_are_json(tmp_path):
    run = trained(tmp_path, max_epochs=2, test_path=str(write_text(tmp_path)))
    outcome = json.loads((run / "result.json").read_text("utf-8"))
    assert outcome["test"]["tokens"] == sum(len(line.split("\t")[1].split()) for line in LINES)
    assert len(outcome["sentence_counts"]) == len(LINES)
