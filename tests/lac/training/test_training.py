"""Training a tagger: it learns, logs, stops in time, and tells what is wrong."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bilm.errors import InputError
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import RunFolder
from bilm.training.metrics import read_metrics
from lac.commands.train import main
from lac.model_folder import read_tagger
from lac.pretrained import load_analyser
from lac.tagged_files import read_tagged
from lac.training.outcome import read_outcome
from lac.training.run import TaggerRun, train
from lac.training.setup import set_up
from tests.reference.refusals import refusal_of
from tests.reference.taggers import (
    LINES,
    QUICK,
    arguments,
    assert_equal_runs,
    options,
    small_bilm,
    trained,
    weights_of_run,
    write_text,
)


@pytest.mark.smoke
@pytest.mark.parametrize("changes", [
    {}, {"pieces": "characters"}, {"elmo": "bilm"}, {"char_features": True},
    {"elmo": "bilm", "finetune_elmo": True},
    {"elmo": "bilm", "variant": "lark"},
], ids=str)
def test_a_tagger_learns_its_sentences_and_loads_again(tmp_path, changes):
    if "elmo" in changes:
        changes = {**changes, "elmo": str(small_bilm(tmp_path))}
    run = trained(tmp_path, **{"pieces": "words", **changes})
    corpus = read_tagged(tmp_path / "train.tsv")
    analyser = load_analyser(run)
    encoded = [analyser.pieces.encode(sentence, corpus.scheme, corpus.scheme).sentence
               for sentence in corpus.sentences]
    predicted = analyser.predictor.predict([sentence.tokens for sentence in encoded])
    assert predicted == [sentence.tags for sentence in encoded]
    alone = [analyser.predictor.predict([sentence.tokens])[0] for sentence in encoded]
    assert alone == predicted
    if "pieces" in changes:  # jieba cuts some of the words otherwise
        assert read_outcome(run).dev["f1"] == 1.0


def test_a_frozen_bilm_stays_and_a_tuned_one_changes(tmp_path):
    bilm = small_bilm(tmp_path)
    before = open_model(bilm).tensors
    for finetune in (False, True):
        folder = tmp_path / str(finetune)
        folder.mkdir()
        train(options(folder, elmo=str(bilm), finetune_elmo=finetune, max_epochs=2))
        after = open_model(read_tagger(folder / "run").elmo).tensors
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
    from bilm.storage.pretrained import read_mixes

    assert read_mixes(read_tagger(run).elmo.parent).variant == "elmo"


def test_the_same_seed_gives_the_same_run_and_another_one_another(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(options(tmp_path, save_dir=str(tmp_path / name), random_seed=seed))
    assert_equal_runs(tmp_path / "a", tmp_path / "b")
    first, third = weights_of_run(tmp_path / "a"), weights_of_run(tmp_path / "c")
    assert not np.array_equal(first["emissions.weight"], third["emissions.weight"])


@pytest.mark.slow
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
    assert "does not know, all of which count as wrong: zz (1)" in capsys.readouterr().err
    assert outcome.dev["types"]["zz"]["recall"] == 0
    assert outcome.dev["recall"] <= 2 / 3


def test_a_word_a_line_is_remarked(tmp_path, capsys):
    write_text(tmp_path, ["我\tO", "小林\tnr-B"])
    train(options(tmp_path, max_epochs=1))
    assert "one word a line is CoNLL's form" in capsys.readouterr().err


@pytest.mark.slow
def test_other_line_formats_and_schemes_train(tmp_path):
    lines = ["小林/B-nr 来/S-v 了/O", "陈/B-nr 晨/E-nr 走/S-v"]
    lines[0] = "小林/S-nr 来/S-v 了/O"
    write_text(tmp_path, lines)
    outcome = train(options(tmp_path, max_epochs=60, unknown_rate=0.0))
    assert outcome.dev["f1"] == 1.0
    assert set(outcome.dev["types"]) == {"nr", "v"}


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
        "--eval_window", "7", "--pretrain_elmo_model_path", "none", "--corpus_type_list", "train",
        "--corpus_proportion_list", "1.0", "--traindata_shuffle_buffer", "200000",
    ])
    printed = capsys.readouterr()
    assert "--traindata_shuffle_buffer is obsolete and ignored" in printed.err
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
    (["--char_features"], "--char_features goes with --pieces words or dictionary"),
    (["--dictionary_weights", "lengths"], "--dictionary_weights goes with --pieces dictionary"),
    (["--load_pretraining_params", "x", "--gru_size", "9"], "--gru_size cannot be combined with"),
])
def test_bad_arguments_are_one_line(tmp_path, capsys, more, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path)
    assert told in refusal_of(main, arguments(tmp_path, *more), capsys)


def test_a_full_width_vocabulary_is_folded_as_the_words_are(tmp_path):
    (tmp_path / "words.txt").write_text("<S>\n</S>\n<UNK>\n，\n,\n！\n很\n", encoding="utf-8")
    run = trained(tmp_path, max_epochs=1, word_dict_path=str(tmp_path / "words.txt"))
    lookup = read_tagger(run).lookup()
    assert lookup([["，", ",", "！", "!", "很", "？"]]).words.tolist() == [[3, 3, 4, 4, 5, 2]]


def test_tag_files_of_another_scheme_are_refused_before_training(tmp_path):
    write_text(tmp_path, ["陈 晨\tB-nr I-nr"])
    (tmp_path / "tags.txt").write_text("B-nr\nI-nr\nv\n", encoding="utf-8")
    with pytest.raises(InputError, match="tags.txt: not written in the scheme prefix: v"):
        train(options(tmp_path, label_dict_path=str(tmp_path / "tags.txt")))


def test_figures_are_json(tmp_path):
    run = trained(tmp_path, max_epochs=2, test_path=str(write_text(tmp_path)))
    outcome = json.loads((run / "result.json").read_text("utf-8"))
    words = sum(tag.endswith("-B") for line in LINES for tag in line.split("\t")[1].split())
    assert outcome["test"]["tokens"] == words
    assert len(outcome["sentence_counts"]) == len(LINES)
    assert outcome["test"]["unknown_words"]["support"] == 0  # it is the text of the training
    best, = (line for line in read_metrics(run / "metrics.jsonl")
             if line.get("event") == "dev" and line["step"] == outcome["best_step"])
    report = outcome["dev"]
    for name, value in {**{key: report[key] for key in ("precision", "recall", "f1")},
                        "word_f1": report["words"]["f1"], "unknown_word_recall": None}.items():
        assert best[name] == value


def test_figures_of_training(tmp_path, capsys):
    write_text(tmp_path)
    main(arguments(tmp_path, *QUICK, "--json", "-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["finished"] and "sentence_counts" not in found
    assert found["dev"] == read_outcome(tmp_path / "run").dev
    assert (Path(found["model"]) / "config.json").is_file()
    assert printed.err.startswith("finished at epoch 2.00") and printed.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_dev_tags_without_marks_are_those_of_marked_training_data(tmp_path, kind):
    write_text(tmp_path)
    bare = [line.replace("-B", "").replace("-I", "") for line in LINES[2:5]]
    dev = write_text(tmp_path, bare, "dev.tsv")
    outcome = train(options(tmp_path, dev_path=str(dev), pieces=kind, max_epochs=20))
    assert outcome.dev["f1"] > 0.5
