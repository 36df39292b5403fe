"""The configuration: strict types and ranges, all problems at once, exact round trip."""

import json
from dataclasses import asdict, fields

import pytest

from bilm.errors import InputError
from bilm.network.config import BiLMConfig

SETTINGS = {
    "vocab_size": 20, "projection_size": 3, "cell_size": 5, "num_layers": 1, "cell_clip": 0.5,
    "projection_clip": 0, "use_skip_connections": False, "bidirectional": False,
    "share_softmax": False, "dropout": 0.25, "bos_id": 7, "eos_id": 0, "unk_id": 19,
    "char_cnn": None,
}


def problems_of(**settings):
    with pytest.raises(InputError) as error:
        BiLMConfig(**{"vocab_size": 20, **settings})
    prefix, problems = str(error.value).split(": ", 1)
    assert prefix == "BiLMConfig"
    return problems.split("; ")


def test_defaults_are_those_of_larks_published_model():
    config = BiLMConfig(52445)
    assert (config.projection_size, config.cell_size, config.num_layers) == (512, 4096, 2)
    assert (config.cell_clip, config.projection_clip, config.dropout) == (3.0, 3.0, 0.1)
    assert config.use_skip_connections and config.share_softmax and config.num_directions == 2
    assert BiLMConfig(20, bidirectional=False).num_directions == 1


@pytest.mark.parametrize("name, value", [
    ("vocab_size", 0), ("projection_size", 0), ("cell_size", -4), ("num_layers", 0),
    ("cell_clip", -0.1), ("cell_clip", float("nan")), ("cell_clip", float("inf")),
    ("projection_clip", -3), ("projection_clip", float("nan")),
    ("projection_clip", float("-inf")),
    ("dropout", 1.0), ("dropout", -0.1), ("dropout", float("nan")),
    ("bos_id", 20), ("eos_id", -1), ("unk_id", 99),
])
def test_a_value_out_of_range_is_told_with_its_name(name, value):
    problem = next(p for p in problems_of(**{name: value}) if p.startswith(f"{name} must"))
    assert str(value) in problem


@pytest.mark.parametrize("settings", [
    {"vocab_size": 3}, {"cell_clip": 0}, {"projection_clip": 0.0}, {"dropout": 0}, {"bos_id": 19},
])
def test_a_value_at_the_edge_of_its_range_is_fine(settings):
    assert settings.items() <= asdict(BiLMConfig(**{"vocab_size": 20, **settings})).items()


@pytest.mark.smoke
def test_all_values_out_of_range_are_told_at_once():
    wrong = {"projection_size": 0, "cell_size": 0, "num_layers": -1, "cell_clip": -1.0,
             "projection_clip": float("nan"), "dropout": 2.0, "bos_id": 20, "unk_id": -1,
             "char_cnn": "x"}
    problems = problems_of(**wrong)
    assert len(problems) == len(wrong)
    for name, problem in zip(wrong, problems):
        assert problem.startswith(f"{name} must"), problems


def test_special_tokens_need_ids_of_their_own():
    assert problems_of(eos_id=2) == ["bos_id, eos_id and unk_id must differ, not (0, 2, 2)"]


@pytest.mark.parametrize("name, value", [
    ("num_layers", True), ("num_layers", 2.0), ("vocab_size", "20"), ("bos_id", None),
    ("cell_clip", True), ("cell_clip", "3"), ("dropout", None),
    ("bidirectional", 1), ("share_softmax", "False"), ("use_skip_connections", None),
])
def test_a_value_of_another_type_is_told_with_its_name(name, value):
    wanted = {field.name: field.type.__name__ for field in fields(BiLMConfig)}[name]
    assert problems_of(**{name: value}) == [f"{name} must be of type {wanted}, not {value!r}"]


def test_all_wrong_types_are_told_at_once():
    problems = problems_of(cell_size=4.0, dropout="0.1", bidirectional=0)
    assert [problem.split()[0] for problem in problems] == [
        "cell_size", "bidirectional", "dropout",
    ]


def test_json_gives_back_every_field(tmp_path):
    assert SETTINGS.keys() == {field.name for field in fields(BiLMConfig)}
    config = BiLMConfig(**SETTINGS)
    text = config.to_json()
    assert BiLMConfig.from_json(text) == config
    assert json.loads(text) == SETTINGS
    assert [line.split('"')[1] for line in text.splitlines()[1:-1]] == list(SETTINGS)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    assert BiLMConfig.load(tmp_path / "config.json") == config


@pytest.mark.parametrize("text, message", [
    ("{", "model/config.json: not JSON: "),
    ("[20]", "model/config.json: expected a JSON object, found list"),
    ('{"vocab_size": 20, "sells": 1, "layers": 2}', "config.json: unknown keys: layers, sells$"),
    ('{"cell_size": 4}', "model/config.json: vocab_size is missing$"),
    ('{"vocab_size": 20, "cell_size": 0}', "model/config.json: .*cell_size must be at least 1"),
    ('{"vocab_size": 20, "cell_clip": NaN}', "model/config.json: .*cell_clip must be 0 .*nan"),
    ('{"vocab_size": 20, "dropout": null}', "model/config.json: .*dropout must be of type float"),
])
def test_bad_json_is_told_with_its_file(text, message):
    with pytest.raises(InputError, match=message):
        BiLMConfig.from_json(text, source="model/config.json")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(AttributeError):
        BiLMConfig(20).cell_size = 8
