"""`bilm embed`: the layout of the file, what it reads, and bad input."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import paddle
import pytest

from bilm import BiLM, BiLMConfig, InputError
from bilm.commands.embed import main
from bilm.inference.embedder import Embedder
from bilm.inference.vectors_of_files import embed_lines
from bilm.text.lines import Lines
from tests.reference.embedded_words import VOCABULARY, WORDS
from tests.reference.refusals import refusal_of
from tests.reference.vector_files import TEXT, content, embed, numbered_text


@pytest.mark.smoke
def test_a_dataset_for_each_line_as_bilm_tf_writes_them(folder, text, tmp_path):
    embed(folder, text, tmp_path / "out.hdf5")
    found = content(tmp_path / "out.hdf5")
    lines = [line.split() for line in TEXT.splitlines()]
    assert sorted(found) == ["0", "1", "2", "3", "4", "5", "sentence_to_index"]
    for number, vectors in enumerate(Embedder(folder).embed(lines)):
        assert found[str(number)].dtype == np.float32
        np.testing.assert_array_equal(found[str(number)], vectors)
    assert found["1"].shape == (3, 0, 12)
    (index,) = found["sentence_to_index"]
    assert json.loads(index) == {
        "我们 明天 去 公园": "3", "": "4", "下雨": "2", "人 天气 地": "5",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.hdf5", "text.txt"]


@pytest.mark.parametrize("options, shape", [
    (["--layers", "top"], (4, 12)), (["--layers", "average", "--dtype", "float16"], (4, 12)),
    (["--dtype", "float16", "--variant", "lark"], (3, 4, 12)),
])
def test_other_layers_and_types(folder, text, tmp_path, options, shape):
    embed(folder, text, tmp_path / "out.hdf5", *options)
    names = dict(zip(options[::2], options[1::2]))
    embedder = Embedder(folder, layers=names.get("--layers", "all"),
                        variant=names.get("--variant", "elmo"))
    dtype = np.dtype(names.get("--dtype", "float32"))
    found = content(tmp_path / "out.hdf5")["0"]
    assert (found.shape, found.dtype) == (shape, dtype)
    (expected,) = embedder.embed([TEXT.splitlines()[0].split()])
    np.testing.assert_allclose(found, expected, atol=2e-3 if dtype == np.float16 else 1e-6)


def test_a_file_of_the_same_text_is_the_same_file(folder, text, tmp_path):
    for name in ("a.hdf5", "b.hdf5"):
        embed(folder, text, tmp_path / name)
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_gzip_and_standard_input_are_read(folder, text, tmp_path):
    import gzip

    embed(folder, text, tmp_path / "a.hdf5")
    (tmp_path / "text.gz").write_bytes(gzip.compress(TEXT.encode("utf-8")))
    embed(folder, tmp_path / "text.gz", tmp_path / "b.hdf5")
    with open(text, "rb") as file:
        subprocess.run(
            [sys.executable, "-m", "bilm", "embed", "-", str(tmp_path / "c.hdf5"),
             "--model", str(folder)], stdin=file, check=True,
        )
    first = content(tmp_path / "a.hdf5")
    for name in ("b.hdf5", "c.hdf5"):
        for key, values in content(tmp_path / name).items():
            np.testing.assert_array_equal(values, first[key])


def test_raw_lines_are_segmented_one_dataset_each(folder, tmp_path, capsys):
    (tmp_path / "raw.txt").write_text("明天下雨。我们去公园！\n\n天气\n", encoding="utf-8")
    embed(folder, tmp_path / "raw.txt", tmp_path / "out.hdf5", "--segment")
    found = content(tmp_path / "out.hdf5")
    index = json.loads(found["sentence_to_index"][0])
    assert index == {"明天 下雨 。 我们 去 公园 ！": "0", "": "1", "天气": "2"}
    assert [found[str(line)].shape[1] for line in range(3)] == [7, 0, 1]
    assert "not known what segmented the model's training text" in capsys.readouterr().err


def test_the_counts_are_told(folder, text, tmp_path, capsys):
    embed(folder, text, tmp_path / "a.hdf5", "--json", "-")
    assert json.loads(capsys.readouterr().out) == {
        "lines": 6, "words": 12, "unknown": 2, "composed": 0
    }
    text.write_text("天人 我 鸟\n", encoding="utf-8")
    embed(folder, text, tmp_path / "b.hdf5", "--unknown", "characters")
    output, error = capsys.readouterr()
    assert output.startswith("1 lines, 3 words, 2 unknown (66.67%, 1 of them composed), ")
    assert "66.7% of the words are unknown to the model" in error


def test_an_empty_text_is_an_empty_file(folder, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    embed(folder, tmp_path / "empty.txt", tmp_path / "out.hdf5")
    assert list(content(tmp_path / "out.hdf5")) == ["sentence_to_index"]


def test_a_pipe_is_read_once(folder, text, tmp_path):
    embed(folder, text, tmp_path / "a.hdf5")
    os.mkfifo(tmp_path / "pipe")
    writer = subprocess.Popen(["sh", "-c", f"cat {text} > {tmp_path / 'pipe'}"])
    embed(folder, tmp_path / "pipe", tmp_path / "b.hdf5")
    writer.wait(10)
    assert (tmp_path / "a.hdf5").read_bytes() == (tmp_path / "b.hdf5").read_bytes()


def test_a_text_that_changes_while_it_is_read_is_told(folder, text, tmp_path):
    class Changing(Lines):
        reads = 0

        def __iter__(self):
            self.reads += 1
            for words in super().__iter__():
                yield [*words[:-1], "人"] if words and self.reads > 1 else words

    with pytest.raises(InputError, match="the text was changed while it was read"):
        embed_lines(Embedder(folder), Changing(text), tmp_path / "out.hdf5")


@pytest.mark.smoke
def test_an_output_that_cannot_be_written_is_one_line(folder, text, tmp_path, capsys):
    for out, message in (
        (tmp_path / "none" / "out.hdf5", "there is no folder"),
        (tmp_path, "is a folder; give the name of a file"),
    ):
        error = refusal_of(main, [str(text), str(out), "--model", str(folder)], capsys)
        assert message in error and error.count("\n") == 1


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_real_limit_of_the_system_is_one_line(folder, tmp_path):
    text = numbered_text(tmp_path / "text.txt", 300)
    arguments = [sys.executable, "-m", "bilm", "embed", text, tmp_path / "out.hdf5",
                 "--model", folder]
    done = subprocess.run([str(a) for a in arguments], preexec_fn=limit_file_size,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert not (tmp_path / "out.hdf5").exists()


@pytest.mark.smoke
@pytest.mark.parametrize("arguments, message", [
    (["none.txt", "out.hdf5"], "none.txt: No such file"),
    (["bad.txt", "out.hdf5"], "bad.txt, line 2: not UTF-8"),
    (["good.txt", "out.hdf5", "--user_dict", "x"], "--user_dict is for --segment"),
    (["good.txt", "out.hdf5", "--threads", "-1"], "--threads must not be negative"),
    (["good.txt", "out.hdf5", "--model", "."], "no biLM there"),
])
def test_bad_arguments_are_one_line(
    folder, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_text("人\n", encoding="utf-8")
    (tmp_path / "bad.txt").write_bytes("人\n".encode() + "天\n".encode("gb18030"))
    assert message in refusal_of(main, ["--model", str(folder), *arguments], capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.txt", "good.txt"]


def test_memory_does_not_grow_with_the_length_of_a_sentence(tmp_path):
    """The vectors of a line of 40,000 words are 61 MB; they are never in memory at once."""
    paddle.seed(0)
    config = BiLMConfig(vocab_size=len(WORDS) + 3, projection_size=64, cell_size=8)
    BiLM(config).save_pretrained(tmp_path / "model", VOCABULARY)
    sizes = []
    for words in (5_000, 40_000):
        text = tmp_path / f"{words}.txt"
        text.write_text("人 天 " * (words // 2) + "\n", encoding="utf-8")
        program = (
            "import resource, sys; from bilm.commands.embed import main; main(sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        arguments = [sys.executable, "-c", program, text, tmp_path / f"{words}.hdf5",
                     "--model", tmp_path / "model"]
        done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True,
                              check=True)
        sizes.append(int(done.stdout.split()[-1]) / 1024)
    assert sizes[1] - sizes[0] < 25, sizes  # MB
