"""Pictures of training runs of biLMs: what stands in their panels, their fonts, their files."""

import json
import math
import sys

import pytest

from bilm.commands.plot import main
from bilm.pictures.curves import names_of
from bilm.pictures.runs import PANELS, draw_runs, read_bilm_runs
from tests.reference.refusals import refusal_of

matplotlib = pytest.importorskip("matplotlib")


def train_line(step, loss=2.0):
    return {"step": step, "loss": loss, "perplexity": math.exp(loss), "tokens": 100 * step,
            "tokens_per_second": 2400.0, "learning_rate": 0.2}


def dev_line(step, loss=3.0):
    return {"event": "dev", "step": step, "loss": loss, "perplexity": math.exp(loss)}


def write_run(folder, lines):
    folder.mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    return folder


def panels_of(runs, start_step=0):
    """Return the axes by their figure's name, and the figure."""
    from bilm.pictures.drawing import drawing

    with drawing() as fonts:
        figure = draw_runs(read_bilm_runs(runs, start_step), fonts)
        figure.draw_without_rendering()
    return dict(zip(PANELS, figure.axes)), figure


def points_of(line):
    return list(zip(*map(list, line.get_data())))


def labels_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def no_chinese_font(monkeypatch):
    monkeypatch.setattr("bilm.pictures.drawing._installed_chinese_font", list)


@pytest.mark.smoke
def test_four_panels_show_training_as_a_line_and_dev_as_points(tmp_path):
    lines = [train_line(1, 3.0), train_line(2, 2.0), dev_line(2, 2.5), train_line(3, 1.0)]
    panels, figure = panels_of([write_run(tmp_path / "run", lines)])
    assert [panel.get_title("left") for panel in panels.values()] == [
        "loss, nats a token", "perplexity, logarithmic", "tokens/s", "learning rate"]
    train, dev = panels["loss"].get_lines()
    assert points_of(train) == [(1, 3.0), (2, 2.0), (3, 1.0)] and train.get_linestyle() == "-"
    assert points_of(dev) == [(2, 2.5)] and dev.get_linestyle() == "None"
    assert dev.get_marker() == "o"
    assert panels["perplexity"].get_yscale() == "log"
    assert points_of(panels["perplexity"].get_lines()[1]) == [(2, math.exp(2.5))]
    assert [list(panels[name].get_lines()[0].get_ydata())
            for name in ("tokens_per_second", "learning_rate")] == [[2400.0] * 3, [0.2] * 3]
    assert labels_of(figure) == ["run: train", "run: dev"]


def test_several_runs_differ_by_colour_and_name(tmp_path):
    runs = [write_run(tmp_path / name, [train_line(1), train_line(2), dev_line(2)])
            for name in ("one", "two/same", "three/same", "_four", "$x$")]
    panels, figure = panels_of(runs)
    lines = panels["loss"].get_lines()
    assert len({line.get_color() for line in lines}) == 5
    assert all(train.get_color() == dev.get_color() for train, dev in zip(lines[::2], lines[1::2]))
    assert labels_of(figure)[::2] == [
        "one: train", f"{runs[1]}: train", f"{runs[2]}: train", "./_four: train", r"\$x\$: train"]
    assert names_of([tmp_path / "one" / ".." / "one"]) == ["one"]


def test_from_the_eighth_run_on_line_styles_differ(tmp_path):
    runs = [write_run(tmp_path / str(number), [train_line(1), train_line(2)])
            for number in range(15)]
    panels, _ = panels_of(runs)
    looks = {(line.get_color(), line.get_linestyle()) for line in panels["loss"].get_lines()}
    assert len(looks) == 15


def test_steps_that_a_resumed_run_wrote_again_count_once(tmp_path):
    lines = [train_line(1, 9.0), train_line(2, 8.0), train_line(3, 7.0), train_line(2, 6.0)]
    panels, _ = panels_of([write_run(tmp_path / "run", lines)])
    assert points_of(panels["loss"].get_lines()[0]) == [(1, 9.0), (2, 6.0)]


def test_earlier_steps_are_left_out(tmp_path):
    run = write_run(tmp_path / "run", [train_line(1), dev_line(1), train_line(20), dev_line(20)])
    panels, _ = panels_of([run], start_step=2)
    assert [list(line.get_xdata()) for line in panels["loss"].get_lines()] == [[20], [20]]


def test_a_single_point_is_seen(tmp_path):
    panels, _ = panels_of([write_run(tmp_path / "run", [train_line(5)])])
    (line,) = panels["loss"].get_lines()
    assert line.get_marker() == "." and line.get_markevery() == [0]


def test_values_that_are_not_finite_leave_a_gap(tmp_path, capsys):
    nan, lines = float("nan"), [train_line(step) for step in (1, 2, 3, 4)]
    lines[1]["loss"] = nan
    lines[3]["perplexity"] = math.exp(709.0)  # of an infinite loss
    panels, _ = panels_of([write_run(tmp_path / "run", lines)])
    drawn = panels["loss"].get_lines()[0]
    assert list(map(math.isnan, drawn.get_ydata())) == [False, True, False, False]
    assert drawn.get_markevery() == [0]
    assert panels["perplexity"].get_ylim()[1] < 100
    told = capsys.readouterr().err
    assert "1 of 4 values of train loss are not finite" in told and told.count("\n") == 2


def test_a_panel_without_any_figure_says_so(tmp_path):
    run = write_run(tmp_path / "run", [{"step": 1, "perplexity": float("nan")}])
    panels, _ = panels_of([run])
    assert [[text.get_text() for text in panel.texts] for panel in panels.values()] == [
        ["no figures"]] * 4


def test_a_perplexity_that_hardly_changes_has_ticks(tmp_path):
    panels, _ = panels_of([write_run(tmp_path / "run", [train_line(1, 4.6), train_line(2, 4.4)])])
    axis = panels["perplexity"]
    low, high = axis.get_ylim()
    assert sum(low <= tick <= high for tick in axis.get_yticks()) >= 3


@pytest.mark.parametrize("ending", ["png", "PNG", "svg", "pdf"])
def test_the_ending_decides_the_format(tmp_path, capsys, ending):
    run = write_run(tmp_path / "run", [train_line(1), train_line(2), dev_line(2)])
    output = tmp_path / f"curve.{ending}"
    main([str(run), "--output", str(output)])
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending.lower()]
    assert output.read_bytes().startswith(start)
    assert capsys.readouterr().out == f"wrote {output}\n"


def test_without_a_name_the_picture_goes_to_the_run(tmp_path, capsys):
    runs = [str(write_run(tmp_path / name, [train_line(1)])) for name in "ab"]
    main(runs)
    assert capsys.readouterr().out == f"wrote {tmp_path}/a/curves.png\n"
    assert (tmp_path / "a/curves.png").is_file() and not (tmp_path / "b/curves.png").exists()


def test_text_of_an_svg_needs_no_font(tmp_path):
    run = write_run(tmp_path / "run", [train_line(1)])
    main([str(run), "--output", str(tmp_path / "curve.svg")])
    picture = (tmp_path / "curve.svg").read_text("utf-8")
    assert "<text" not in picture and "<!-- run: train -->" in picture


def test_a_picture_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", [train_line(1)])
    (tmp_path / "curve.png").write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bilm.files.os.replace", fail)
    with pytest.raises(Exception, match="curve.png: No space left on device"):
        main([str(run), "--output", str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.png", "run"]


def test_chinese_names_are_written_in_a_font_that_has_them(tmp_path):
    from bilm.pictures.drawing import Fonts

    if not Fonts().can_write("实验"):
        pytest.skip("no Chinese font is installed")
    run = write_run(tmp_path / "实验", [train_line(1)])
    _, figure = panels_of([run])
    assert labels_of(figure) == ["实验: train"]
    for ending in ("png", "svg", "pdf"):  # a missing glyph is a warning, and that an error here
        main([str(run), "--output", str(tmp_path / f"curve.{ending}")])


def test_without_a_chinese_font_names_are_spelt_in_ascii(tmp_path, capsys, no_chinese_font):
    runs = [write_run(tmp_path / name, [train_line(1)]) for name in ("实验", "试")]
    _, figure = panels_of(runs)
    assert labels_of(figure) == [r"\u5b9e\u9a8c: train", r"\u8bd5: train"]
    told = capsys.readouterr().err
    assert "fonts-noto-cjk" in told and told.count("\n") == 1


def test_fonts_that_matplotlib_does_not_list_yet_are_found(monkeypatch):
    from matplotlib import font_manager

    from bilm.pictures.drawing import _installed_chinese_font

    installed = _installed_chinese_font()
    if not installed:
        pytest.skip("no Chinese font is installed")
    own = [entry for entry in font_manager.fontManager.ttflist if entry.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    assert _installed_chinese_font() == installed


def test_what_cannot_be_drawn_is_told(tmp_path, capsys):
    empty, full = write_run(tmp_path / "empty", []), write_run(tmp_path / "full", [train_line(1)])
    tagger = write_run(tmp_path / "tagger", [{"step": 1, "loss": 5.0}])
    broken = write_run(tmp_path / "broken", [{"step": "x", "perplexity": 1.0}])
    to = ["--output", str(tmp_path / "x.png")]
    for arguments, told in (
        ([str(tmp_path), *to], "it has no metrics.jsonl"),
        ([str(empty), *to], "empty: no figures in metrics.jsonl"),
        ([str(full), "--start_step", "5", *to], "no figures in metrics.jsonl from step 5 on"),
        ([str(tagger), *to], "not a run of bilm pretrain; use lac plot"),
        ([str(broken), *to], "'x' is no step"),
        ([str(full), "--output", str(tmp_path / "x.gif")], "must end in .png, .svg, .pdf"),
        ([str(full), "--output", str(tmp_path / "no/x.png")], "x.png: No such file"),
    ):
        assert told in refusal_of(main, arguments, capsys)
    assert not (tmp_path / "x.png").exists()
    main([str(empty), str(full), *to])
    assert "warning: " in capsys.readouterr().err and (tmp_path / "x.png").is_file()


def test_a_missing_matplotlib_is_told(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "run", [train_line(1)])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "its extra [plot]" in refusal_of(main, [str(run)], capsys)
