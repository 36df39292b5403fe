"""The flags of `bilm pretrain`: LARK's command lines work, true booleans, all problems at once."""

import re
from dataclasses import asdict, fields, replace

import pytest

from bilm.commands import pretrain as pretrain_command
from bilm.errors import InputError
from bilm.training.options import FIXED_AT_RESUME, OBSOLETE, TrainingOptions

# LARK's flags and the defaults that it documents; None: it has none.
LARK_FLAGS = {
    "load_dir": "", "load_pretraining_params": "", "batch_size": 128, "embed_size": 512,
    "hidden_size": 4096, "num_layers": 2, "num_steps": 20, "all_train_tokens": None,
    "data_path": None, "vocab_path": None, "use_gpu": False, "enable_ce": None,
    "test_nccl": None, "optim": "adagrad", "sample_softmax": None, "learning_rate": 0.2,
    "log_interval": 100, "save_interval": 10000, "dev_interval": 10000, "dropout": 0.1,
    "max_grad_norm": 10, "proj_clip": 3, "cell_clip": 3, "max_epoch": 10, "local": False,
    "shuffle": False, "use_custom_samples": False, "para_save_dir": "checkpoints",
    "train_path": None, "test_path": None, "update_method": "nccl2", "random_seed": 0,
    "n_negative_samples_batch": 8000,
}
OBSOLETE_FLAGS = [name for name, _, _ in OBSOLETE]
OUR_FIELDS = {field.name for field in fields(TrainingOptions)}


@pytest.fixture
def pretrain(monkeypatch):
    """A function that returns the options with which `bilm pretrain` would train."""
    from bilm.training import run

    plans = []

    def train(plan, quiet):
        assert plan.resumed_run is plan.pretrained is None
        plans.append(plan)
        return {"finished": True}

    monkeypatch.setattr(run, "train", train)
    monkeypatch.setattr(pretrain_command, "prepare_device", lambda use_gpu, threads: None)

    def pretrain(*arguments):
        pretrain_command.main(["--train_path", "corpus_*", *map(str, arguments)])
        return plans.pop().options

    return pretrain


def problems_of(**settings):
    with pytest.raises(InputError) as error:
        TrainingOptions(**{"train_path": "corpus_*", **settings})
    return str(error.value).split("; ")


@pytest.mark.smoke
def test_without_flags_the_values_are_larks_defaults(pretrain):
    values = asdict(pretrain())
    documented = {name: value for name, value in LARK_FLAGS.items()
                  if value is not None and name in OUR_FIELDS}
    assert {name: values[name] for name in documented} == documented
    assert values["sample_softmax"] is False
    for name, default, _ in OBSOLETE:
        assert LARK_FLAGS[name] in (None, default)


@pytest.mark.parametrize("name", LARK_FLAGS)
def test_every_flag_of_lark_is_taken_with_its_default(pretrain, capsys, name):
    default = LARK_FLAGS[name]
    value = [] if name in ("enable_ce", "test_nccl", "sample_softmax") else [default]
    if default is None and value:
        value = [35479 if name == "all_train_tokens" else "data/words"]
    changes = {name: value[0] if value else True} if name in OUR_FIELDS else {}
    assert pretrain(f"--{name}", *value) == replace(TrainingOptions("corpus_*"), **changes)
    assert capsys.readouterr().err.count("warning: ") == (name in OBSOLETE_FLAGS)


@pytest.mark.smoke
def test_larks_own_command_line_works(pretrain):
    options = pretrain(
        "--train_path=data/train/sentence_file_*", "--test_path=data/dev/sentence_file_*",
        "--vocab_path", "data/vocabulary_min5k.txt", "--learning_rate", "0.2", "--use_gpu", "True",
        "--all_train_tokens", "35479", "--local", "True", "--use_gpu", "False",
    )
    assert options == TrainingOptions(
        train_path="data/train/sentence_file_*", test_path="data/dev/sentence_file_*",
        vocab_path="data/vocabulary_min5k.txt", all_train_tokens=35479,
    )


@pytest.mark.parametrize("name", OBSOLETE_FLAGS)
def test_an_obsolete_flag_gives_one_warning_with_advice(pretrain, capsys, name):
    pretrain(f"--{name}", "False", f"--{name}")
    advice = {name: advice for name, _, advice in OBSOLETE}[name]
    error = capsys.readouterr().err
    assert error == f"warning: --{name} is obsolete and ignored: {advice}\n"


def test_each_obsolete_flag_has_its_own_warning(pretrain, capsys):
    pretrain(*(f"--{name}" for name in OBSOLETE_FLAGS))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == [f"--{name}" for name in OBSOLETE_FLAGS]


@pytest.mark.parametrize("arguments, value", [
    (["--shuffle"], True), (["--shuffle", "True"], True), (["--shuffle", "yes"], True),
    (["--shuffle", "1"], True), (["--shuffle=TRUE"], True), (["--shuffle", "False"], False),
    (["--shuffle", "no"], False), (["--shuffle=0"], False), (["--shuffle", "--amp", "O0"], True),
    ([], False),
])
def test_booleans_mean_what_they_say(pretrain, arguments, value):
    assert pretrain(*arguments).shuffle is value


def test_a_boolean_that_is_on_can_be_switched_off(pretrain):
    assert pretrain().bidirectional is True
    assert pretrain("--bidirectional", "False").bidirectional is False


@pytest.mark.parametrize("arguments, complaint", [
    (["--shuffle", "maybe"], "argument --shuffle: expected True or False, found 'maybe'"),
    (["--use_gpu", "2"], "argument --use_gpu: expected True or False, found '2'"),
    (["--batch_size", "2.5"], "argument --batch_size: invalid int value: '2.5'"),
    (["--optim", "lion"], "argument --optim: invalid choice: 'lion'"),
    (["--bacth_size", "2"], "unknown option --bacth_size; did you mean --batch_size?"),
    (["--batch", "2"], "unknown option --batch; did you mean --batch_size?"),
])
def test_a_value_that_cannot_be_read_is_an_error(pretrain, capsys, arguments, complaint):
    with pytest.raises(SystemExit) as exit_:
        pretrain(*arguments)
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("alias, name", [
    ("projection_size", "embed_size"), ("cell_size", "hidden_size"),
    ("projection_clip", "proj_clip"),
])
def test_a_field_has_our_name_and_larks(pretrain, alias, name):
    assert getattr(pretrain(f"--{alias}", 7), name) == getattr(pretrain(f"--{name}", 7), name) == 7


def test_larks_rprop_is_rmsprop():
    options = TrainingOptions("corpus_*", optim="rprop")
    assert options.optimizer == replace(options, optim="rmsprop").optimizer == "rmsprop"
    assert TrainingOptions("corpus_*").optimizer == "adagrad"


@pytest.mark.parametrize("name, value", [
    *((name, 0) for name in (
        "batch_size", "num_steps", "gradient_accumulation", "max_epoch", "log_interval",
        "dev_interval", "save_interval", "n_negative_samples_batch", "learning_rate",
    )),
    *((name, -1) for name in (
        "max_steps", "warmup_steps", "decay_steps", "keep", "threads", "max_grad_norm",
        "random_seed",
    )),
    ("learning_rate", -0.1), ("learning_rate", float("nan")), ("optim", "lion"), ("decay", "step"),
    ("dropout", -0.1), ("dropout", float("nan")), ("state_reset_rate", 1.1),
    ("amp", "O3"), ("amp", "O1"), ("train_path", ""),
])
def test_a_value_out_of_range_is_told_with_its_flag(name, value):
    assert any(problem.startswith(f"--{name} ") for problem in problems_of(**{name: value}))


def test_all_values_out_of_range_are_told_at_once():
    wrong = {"batch_size": 0, "num_steps": -1, "max_steps": -5, "learning_rate": 0.0,
             "decay": "step", "amp": "O1", "train_path": ""}
    problems = problems_of(**wrong)
    assert [problem.split()[0] for problem in problems] == [f"--{name}" for name in wrong]
    assert problems[0] == "--batch_size must be at least 1, not 0"


def test_the_decay_must_end_after_the_warm_up():
    assert problems_of(warmup_steps=10, decay_steps=10) == [
        "--decay_steps must be above --warmup_steps"
    ]
    assert TrainingOptions("corpus_*", warmup_steps=10, decay_steps=11).decay_steps == 11
    assert TrainingOptions("corpus_*", warmup_steps=10).decay_steps == 0


def test_the_model_is_what_the_options_say(vocabulary):
    settings = {"num_layers": 3, "cell_clip": 1.5, "use_skip_connections": False,
                "bidirectional": False, "share_softmax": False, "dropout": 0.5}
    config = TrainingOptions(
        "corpus_*", embed_size=6, hidden_size=8, proj_clip=2.5, **settings
    ).model_config(vocabulary)
    assert asdict(config) == {
        "vocab_size": len(vocabulary), "projection_size": 6, "cell_size": 8,
        "projection_clip": 2.5, "bos_id": 0, "eos_id": 1, "unk_id": 2, "char_cnn": None, **settings,
    }


def test_flags_are_known_once():
    assert set(FIXED_AT_RESUME) <= OUR_FIELDS
    assert not OUR_FIELDS & set(OBSOLETE_FLAGS)
    assert set(LARK_FLAGS) == (set(LARK_FLAGS) & OUR_FIELDS) | set(OBSOLETE_FLAGS) | {"load_dir"}


def test_help_tells_every_flag_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # no line is broken
    with pytest.raises(SystemExit) as exit_:
        pretrain_command.main(["--help"])
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for item in fields(TrainingOptions):
        assert re.search(f"--{item.name}[, ]", text)
        default = "" if item.default == "" else f" (default: {item.default})"
        assert item.metadata["help"] + default in text
    for name in OBSOLETE_FLAGS:
        assert f"--{name}" in text.split("obsolete")[1]
