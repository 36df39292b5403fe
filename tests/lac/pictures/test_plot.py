"""Pictures of taggers: scores and mixes over steps, and which types are confused."""

import json

import pytest

from lac.commands.plot import main
from lac.pictures.confusion import confusion_of, draw_confusion, label_of
from lac.pictures.runs import draw_taggers, plot_taggers, read_tagger_runs
from lac.tag_names import TAG_NAMES
from lac.training.outcome import Outcome, write_outcome
from tests.reference.refusals import refusal_of

matplotlib = pytest.importorskip("matplotlib")

REPORT = {"f1": 0.5, "confusion": {
    "n": {"n": 6, "v": 2}, "nr": {"n": 1}, "O": {"O": 3}, "new": {"v": 1}}}


def dev_line(step, f1, shares=None):
    mix = {} if shares is None else {"mix": {"shares": shares, "gamma": 1.0 + step / 100}}
    figures = {"precision": f1 + 0.125, "recall": f1 - 0.125, "f1": f1}
    return {"event": "dev", "step": step, **figures, **mix}


def write_run(folder, shares=(0.2, 0.3, 0.5), report=REPORT, test=None):
    folder.mkdir()
    lines = [{"step": 5, "loss": 3.0, "tokens_per_second": 9.0}, dev_line(10, 0.25, shares),
             dev_line(20, 0.5, shares)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    if report:
        write_outcome(folder, Outcome(20, 2.0, report, test, [], None))
    return folder


def axes_of(runs, matrices=()):
    from bilm.pictures.drawing import drawing

    with drawing() as fonts:
        figure = draw_taggers(read_tagger_runs(runs), matrices, fonts)
        figure.draw_without_rendering()
    return figure.axes


def matrix_of(confusion):
    """Return the axes of a matrix."""
    from bilm.pictures.drawing import drawing, new_figure

    with drawing() as fonts:
        figure = new_figure(8, 6)
        draw_confusion(figure, confusion, "title", fonts)
        figure.draw_without_rendering()
    return figure.axes[0]


def lines_of(panel):
    return {line.get_label(): list(zip(*map(list, line.get_data()))) for line in panel.get_lines()}


def has_chinese_font():
    from bilm.pictures.drawing import Fonts

    return Fonts().can_write("".join(name.chinese for name in TAG_NAMES.values()))


@pytest.fixture
def no_chinese_font(monkeypatch):
    monkeypatch.setattr("bilm.pictures.drawing._installed_chinese_font", list)


@pytest.mark.smoke
def test_scores_and_mixes_are_drawn_over_steps(tmp_path):
    scores, shares, gamma = axes_of([write_run(tmp_path / "run")])
    assert lines_of(scores) == {"F1": [(10, 0.25), (20, 0.5)],
                                "precision": [(10, 0.375), (20, 0.625)],
                                "recall": [(10, 0.125), (20, 0.375)]}
    assert lines_of(shares) == {"token layer": [(10, 0.2), (20, 0.2)],
                                "layer 1": [(10, 0.3), (20, 0.3)],
                                "layer 2": [(10, 0.5), (20, 0.5)]}
    assert lines_of(gamma) == {"gamma": [(10, 1.1), (20, 1.2)]}
    assert len({line.get_color() for line in scores.get_lines()}) == 3
    assert [text.get_text() for text in scores.get_legend().get_texts()] == [
        "F1", "precision", "recall"]


def test_a_run_without_elmo_has_scores_only(tmp_path):
    assert len(axes_of([write_run(tmp_path / "run", shares=None)])) == 1


def test_of_several_runs_each_has_a_colour(tmp_path):
    runs = [write_run(tmp_path / "with"), write_run(tmp_path / "without", shares=None)]
    scores, shares, _ = axes_of(runs)
    colors = [line.get_color() for line in scores.get_lines()]
    assert colors[:3] == [colors[0]] * 3 and colors[3:] == [colors[3]] * 3
    assert colors[0] != colors[3]
    assert len({line.get_linestyle() for line in scores.get_lines()[:3]}) == 3
    names = [text.get_text() for text in scores.figure.legends[0].get_texts()]
    assert names == ["with", "without"]


def test_mixes_of_other_numbers_of_layers_stand_side_by_side(tmp_path, capsys):
    runs = [write_run(tmp_path / "two", (0.4, 0.6)), write_run(tmp_path / "three")]
    _, shares, _ = axes_of(runs)
    assert [len(line.get_xdata()) for line in shares.get_lines()] == [2, 2, 0, 2, 2, 2]
    assert capsys.readouterr().err == ""


def test_a_confusion_is_sorted_by_the_words_of_the_right_types():
    types, counts = confusion_of(REPORT, "x")
    assert types == ["n", "O", "new", "nr", "v"]
    assert counts.tolist() == [
        [6, 0, 0, 0, 2], [0, 3, 0, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_rare_types_beyond_forty_are_one():
    rows = {f"k{number:02}": {f"k{number:02}": 100 - number} for number in range(45)}
    types, counts = confusion_of({"confusion": rows}, "x")
    assert len(types) == 40 and types[-2:] == ["k38", "..."]
    assert counts.sum() == sum(100 - number for number in range(45))
    assert counts[-1, -1] == sum(100 - number for number in range(39, 45))


@pytest.mark.smoke
def test_a_matrix_shows_shares_of_rows_and_counts():
    panel = matrix_of(confusion_of(REPORT, "x"))
    shares = panel.get_images()[0].get_array()
    assert shares[0].tolist() == [0.75, 0, 0, 0, 0.25]
    assert shares[4].tolist() == [0] * 5  # never the right type
    cells = {text.get_position()[::-1]: text.get_text() for text in panel.texts}
    assert cells == {(0, 0): "6", (0, 4): "2", (1, 1): "3", (2, 4): "1", (3, 0): "1"}
    assert panel.get_title("left") == "types of words: title, 13 words"


def test_types_are_labelled_in_both_languages():
    if not has_chinese_font():
        pytest.skip("no Chinese font is installed")
    panel = matrix_of(confusion_of(REPORT, "x"))
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "n 名词 noun (8)", "O 无 none (3)", "new (1)", "nr 人名 person (1)", "v 动词 verb (0)"]
    assert [label.get_text() for label in panel.get_xticklabels()][0] == "n 名词 noun"


def test_without_a_chinese_font_labels_are_english(capsys, no_chinese_font):
    panel = matrix_of(confusion_of(REPORT, "x"))
    assert [label.get_text() for label in panel.get_xticklabels()] == [
        "n noun", "O none", "new", "nr person", "v verb"]
    told = capsys.readouterr().err
    assert "fonts-noto-cjk" in told and told.count("\n") == 1


def test_every_tag_of_lac_has_names_that_can_be_written(tmp_path, capsys):
    from bilm.pictures.drawing import drawing, new_figure, write_figure

    if not has_chinese_font():
        pytest.skip("no Chinese font is installed")
    with drawing() as fonts:
        confusion = confusion_of({"confusion": {kind: {kind: 1} for kind in TAG_NAMES}}, "x")
        figure = new_figure(12, 10)
        draw_confusion(figure, confusion, "标签", fonts)
        write_figure(figure, tmp_path / "x.png")  # a missing glyph is a warning, and an error here
        assert label_of("xc", fonts) == "xc 其他虚词 other function word"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_run_becomes_a_picture(tmp_path, capsys, ending):
    run = write_run(tmp_path / "run")
    main([str(run), "--output", str(tmp_path / f"x.{ending}")])
    captured = capsys.readouterr()
    assert captured.out == f"wrote {tmp_path}/x.{ending}\n"
    assert (tmp_path / f"x.{ending}").stat().st_size > 5000


def test_the_matrix_is_of_test_data_or_else_dev_data_or_of_figures(tmp_path):
    test = {"confusion": {"t": {"t": 1}}}
    (tmp_path / "scores.json").write_text(json.dumps({"confusion": {"w": {"w": 7}}}))
    runs = [str(write_run(tmp_path / "dev")), str(write_run(tmp_path / "test", test=test))]
    for arguments, told in (
        ({"runs": runs[:1]}, ["dev, dev data, 13 words"]),
        ({"runs": runs}, ["dev, dev data, 13 words", "test, test data, 1 words"]),
        ({"runs": runs, "figures": tmp_path / "scores.json"}, ["scores.json, 7 words"]),
        ({"runs": [], "figures": tmp_path / "scores.json"}, ["scores.json, 7 words"]),
    ):
        plot_taggers(output=tmp_path / "x.svg", **arguments)
        picture = (tmp_path / "x.svg").read_text("utf-8")
        found = [line for line in picture.splitlines() if "<!-- types of words: " in line]
        assert [line.split(": ")[1][:-4] for line in found] == told


def test_default_names_of_pictures(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (tmp_path / "scores.json").write_text(json.dumps(REPORT))
    main([str(run)])
    main(["--figures", str(tmp_path / "scores.json")])
    assert capsys.readouterr().out == (
        f"wrote {run}/curves.png\nwrote {tmp_path}/scores.png\n")


def test_a_run_without_a_confusion_has_curves_and_a_warning(tmp_path, capsys):
    going, old = write_run(tmp_path / "going", report=None), write_run(tmp_path / "old", report={
        "f1": 0.5})
    main([str(going), str(old), "--output", str(tmp_path / "x.png")])
    told = capsys.readouterr().err
    assert "going: has not ended" in told and "old/result.json: tells of no confusion" in told


def test_what_cannot_be_drawn_is_told(tmp_path, capsys):
    bilm = tmp_path / "bilm"
    bilm.mkdir()
    (bilm / "metrics.jsonl").write_text('{"step": 1, "perplexity": 5.0}\n')
    for name, text in (("old", '{"f1": 1}'), ("text", "F1 5"), ("list", "[1]"),
                       ("odd", '{"confusion": {"n": {"v": -1}}}')):
        (tmp_path / f"{name}.json").write_text(text)
    for arguments, told in (
        ([], "nothing to draw"),
        ([str(tmp_path / "none")], "it has no metrics.jsonl"),
        ([str(bilm)], "no run of lac train; bilm plot"),
        (["--figures", str(tmp_path / "old.json")], "no confusion of types; lac evaluate --json"),
        (["--figures", str(tmp_path / "text.json")], "not what lac evaluate --json writes"),
        (["--figures", str(tmp_path / "list.json")], "not what lac evaluate --json writes"),
        (["--figures", str(tmp_path / "odd.json")], "not one of types and counts"),
        (["--figures", str(tmp_path / "missing.json")], "missing.json: No such file"),
        (["--figures", str(tmp_path / "odd.json"), "--output", "x.jpg"], "must end in .png"),
    ):
        assert told in refusal_of(main, arguments, capsys)
    assert not list(tmp_path.glob("*.png"))
