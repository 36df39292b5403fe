"""Training runs: what is learned, logged and saved, and bad input."""

import json

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from bilm.commands.pretrain import main
from bilm.errors import InputError
from bilm.training.metrics import read_metrics
from tests.reference.runs import arguments, assert_same, figures


def test_gradient_accumulation_equals_the_larger_batch(corpus_folder):
    runs = {}
    for name, sizes in (("large", ["--batch_size", "4"]),
                        ("parts", ["--batch_size", "2", "--gradient_accumulation", "2"])):
        runs[name] = corpus_folder / name
        main(arguments(corpus_folder, runs[name], *sizes, "--dropout", "0", "--max_steps", "20"))
    large, parts = (load_file(run / "step_00000020/model.safetensors") for run in runs.values())
    for name in large:
        np.testing.assert_allclose(parts[name], large[name], atol=1e-5)


@pytest.mark.smoke
def test_four_sentences_are_learnt_by_heart(corpus_folder):
    (corpus_folder / "four").write_text(
        "今天 天气 很 好 。\n我们 去 公园 看 花 。\n他 说 明天 会 下雨 。\n你 带 伞 了 吗 ？\n",
        encoding="utf-8",
    )
    run = corpus_folder / "run"
    main(["--train_path", str(corpus_folder / "four"),
          "--vocab_path", str(corpus_folder / "vocabulary.txt"), "--para_save_dir", str(run),
          "--embed_size", "16", "--hidden_size", "32", "--batch_size", "2", "--num_steps", "6",
          "--dropout", "0", "--max_steps", "200", "--max_epoch", "1000", "--log_interval", "50"])
    first, *_, last = figures(run)
    assert first["perplexity"] > 5
    assert last["perplexity"] < 1.15


def test_metrics_hold_what_is_promised(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "9", "--dev_interval", "4"))
    lines = read_metrics(run / "metrics.jsonl")
    logs = [line for line in lines if "event" not in line]
    assert [line["step"] for line in logs] == [3, 6, 9]
    assert set(logs[0]) == {"step", "epoch", "loss", "perplexity", "tokens", "tokens_per_second",
                            "learning_rate", "grad_norm"}
    np.testing.assert_allclose([line["perplexity"] for line in logs],
                               np.exp([line["loss"] for line in logs]))
    assert [line["step"] for line in lines if line.get("event") == "dev"] == [4, 8, 9]
    assert logs[-1]["tokens"] == 9 * 20


def test_checkpoints_are_pruned_and_written_at_each_epochs_end(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_epoch", "2", "--save_interval", "1000",
                   "--keep", "0"))
    steps = sorted(int(path.name[5:]) for path in run.glob("step_*"))
    tokens = json.loads((run / f"step_{steps[0]:08d}/training/state.json").read_text())
    assert len(steps) == 2
    assert tokens["tokens"] - 20 < tokens["tokens_per_epoch"] <= tokens["tokens"]
    assert not list(run.rglob("*.pkl")) and not list(run.rglob("*.pdparams"))


def test_every_sentence_of_every_epoch_is_trained_on(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_epoch", "3"))
    state = json.loads(next(run.glob("step_*/training/state.json")).read_text())
    assert state["tokens"] == 3 * state["tokens_per_epoch"]


def test_lark_flags_that_mean_nothing_give_one_warning_each(corpus_folder, capsys):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "1", "--local", "True",
                   "--update_method", "nccl2", "--all_train_tokens", "35479"))
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 3
    for flag in ("--local is obsolete", "--update_method is obsolete",
                 "--all_train_tokens says 35479"):
        assert sum(flag in line for line in warnings) == 1


def test_raw_text_is_warned_about(corpus_folder, capsys):
    for shard in (corpus_folder / "train").iterdir():
        shard.write_text(shard.read_text(encoding="utf-8").replace(" ", ""), encoding="utf-8")
    main(arguments(corpus_folder, corpus_folder / "run", "--max_steps", "1"))
    assert "are not in the vocabulary: was the text segmented" in capsys.readouterr().err


def test_pretrained_weights_start_a_new_run(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    main(arguments(corpus_folder, first, "--max_steps", "5"))
    main(arguments(corpus_folder, second, "--max_steps", "1", "--learning_rate", "1e-30",
                   "--load_pretraining_params", str(first / "step_00000005")))
    before = load_file(first / "step_00000005/model.safetensors")
    after = load_file(second / "step_00000001/model.safetensors")
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])


def test_pretrained_weights_of_other_sizes_or_words_are_refused(corpus_folder):
    first, second = corpus_folder / "first", corpus_folder / "second"
    main(arguments(corpus_folder, first, "--max_steps", "1"))
    load = ["--load_pretraining_params", str(first / "step_00000001")]
    with pytest.raises(InputError, match=r"forward_layers.0.bias has shape 40, expected 48; "):
        main(arguments(corpus_folder, second, *load, "--hidden_size", "12"))
    words = (corpus_folder / "vocabulary.txt").read_text(encoding="utf-8").split()
    (corpus_folder / "vocabulary.txt").write_text("\n".join(words[::-1]), encoding="utf-8")
    with pytest.raises(InputError, match="its rows belong to other words"):
        main(arguments(corpus_folder, second, *load))


@pytest.mark.parametrize("softmax", [
    [], ["--sample_softmax", "--n_negative_samples_batch", "12", "--gradient_accumulation", "2"],
], ids=["full", "sampled"])
def test_without_waiting_the_figures_are_the_same_and_infinity_is_found_later(
    corpus_folder, monkeypatch, softmax
):
    """As on a GPU, where a step looks at nothing that it has computed."""
    from bilm.training import trainer

    class Waiting(trainer.Trainer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.model.sparse_gradients = False

    class Unwaiting(Waiting):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.waits = False

        def _loss(self, *arguments):
            factor = float("inf") if self.step == fails_at else 1.0
            return super()._loss(*arguments) * factor

    def refuse(_tensor, *_arguments):
        raise AssertionError("the step waits for a result")

    original = Unwaiting.train_step

    def step(self, batch):
        with monkeypatch.context() as patch:
            for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
                patch.setattr(paddle.Tensor, name, refuse)
            return original(self, batch)

    Unwaiting.train_step = step
    fails_at = None
    waiting, run, broken = (corpus_folder / name for name in ("waiting", "run", "broken"))
    monkeypatch.setenv("BILM_KERNEL", "paddle")
    options = ["--max_steps", "12", "--save_interval", "5", "--log_interval", "4", *softmax]
    monkeypatch.setattr("bilm.training.setup.Trainer", Waiting)
    main(arguments(corpus_folder, waiting, *options))
    monkeypatch.setattr("bilm.training.setup.Trainer", Unwaiting)
    main(arguments(corpus_folder, run, *options))
    assert_same(run, waiting, step=12)
    fails_at = 5
    with pytest.raises(InputError, match=r"step 8: the loss is (inf|nan);.*step_00000005$"):
        main(arguments(corpus_folder, broken, *options))


BAD = {
    "no glob": (["--train_path", "nowhere/*"], "nowhere"),
    "no train path": (["--train_path", ""], "--train_path"),
    "no vocabulary": (["--vocab_path", ""], "--vocab_path"),
    "bad sizes": (["--batch_size", "0"], "--batch_size"),
    "small corpus": (["--batch_size", "1000"], "fewer than one batch"),
    "amp on the CPU": (["--amp", "O1"], "--amp"),
    "dev glob": (["--test_path", "nothing/*"], "nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_are_one_clear_line(corpus_folder, case):
    flags, expected = BAD[case]
    with pytest.raises(InputError) as caught:
        main(arguments(corpus_folder, corpus_folder / "run", *flags))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_used_folder_is_not_overwritten(corpus_folder):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "2"))
    with pytest.raises(InputError, match="--resume"):
        main(arguments(corpus_folder, run, "--max_steps", "2"))


def test_bad_input_creates_and_removes_nothing(corpus_folder):
    (corpus_folder / "here").mkdir()
    (corpus_folder / "here/.tmp-mine").write_text("precious")
    with pytest.raises(FileNotFoundError):
        main(arguments(corpus_folder, corpus_folder / "new", "--vocab_path", "nowhere.txt"))
    assert not (corpus_folder / "new").exists()
    main(arguments(corpus_folder, corpus_folder / "here", "--max_steps", "1"))
    assert (corpus_folder / "here/.tmp-mine").read_text() == "precious"


def test_text_that_is_not_utf8_is_found_before_training(corpus_folder):
    with open(corpus_folder / "dev/sentence_file_0", "ab") as file:
        file.write("好".encode("gb18030") + b" \xff\n")
    with pytest.raises(InputError, match="sentence_file_0, line 21: not UTF-8"):
        main(arguments(corpus_folder, corpus_folder / "run"))
    assert not (corpus_folder / "run").exists()


def test_training_leaves_no_model_in_evaluation_mode(corpus_folder, monkeypatch):
    """Dropout is still on after a dev evaluation."""
    from bilm.training.trainer import Trainer

    modes = []
    original = Trainer.train_step
    monkeypatch.setattr(Trainer, "train_step",
                        lambda self, batch: modes.append(self.model.training)
                        or original(self, batch))
    main(arguments(corpus_folder, corpus_folder / "run", "--max_steps", "4",
                   "--dev_interval", "1"))
    assert modes == [True] * 4


@pytest.mark.gpu
@pytest.mark.skipif(not paddle.device.is_compiled_with_cuda(), reason="needs a GPU build")
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_mixed_precision_learns(corpus_folder, level):
    if paddle.device.cuda.device_count() == 0:
        pytest.skip("no GPU is visible")
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--use_gpu", "--amp", level, "--max_steps", "30"))
    losses = [line["loss"] for line in figures(run) if "event" not in line]
    assert losses[-1] < losses[0]


def test_final_figures_stand_alone_and_progress_is_silent_when_asked(corpus_folder, capsys):
    run = corpus_folder / "run"
    main(arguments(corpus_folder, run, "--max_steps", "6", "--quiet", "--json", "-"))
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    model = str(run / "step_00000006")
    assert printed.err.startswith("finished at step 6, epoch ") and printed.err.count("\n") == 1
    assert (found["finished"], found["step"], found["model"]) == (True, 6, model)
    assert [found["train"], found["dev"]] == read_metrics(run / "metrics.jsonl")[-2:]

    main(["--resume", "--para_save_dir", str(run), "--json", str(corpus_folder / "f.json")])
    assert "finished at step 6" in capsys.readouterr().out
    assert json.loads((corpus_folder / "f.json").read_text("utf-8")) == found
