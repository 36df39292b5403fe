"""Two processes that exchange gradients over gloo, against one process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bilm.commands.pretrain import main
from bilm.errors import InputError
from bilm.storage.run_folder import RunFolder
from bilm.training.distributed import endpoints_of
from tests.reference.live_runs import leave_leftovers, live, refusal, snapshot
from tests.reference.runs import EVERYTHING_RANDOM, figures

FLAGS = ["--embed_size", "6", "--hidden_size", "10", "--num_steps", "5", "--log_interval", "1"]


def launch_command(folder, *flags, processes=2):
    return [sys.executable, "-W", "ignore", "-m", "paddle.distributed.launch",
            "--backend", "gloo", "--nproc_per_node", str(processes),
            "--log_dir", str(folder / "log"),
            str(Path(sys.executable).with_name("bilm")), "pretrain", *flags]


def launch(folder, *flags, processes=2):
    """Run `bilm pretrain` in several processes, as the README says; return what they printed."""
    command = launch_command(folder, *flags, processes=processes)
    result = subprocess.run(command, capture_output=True, text=True, timeout=240)
    logs = [path.read_text() for path in sorted((folder / "log").glob("workerlog.*"))]
    assert result.returncode == 0, "\n".join([result.stdout, result.stderr, *logs])
    return "\n".join([result.stdout, *logs])


def flags(folder, run, batch_size, *more):
    return ["--train_path", f"{folder}/train/*", "--test_path", f"{folder}/dev/*",
            "--vocab_path", f"{folder}/vocabulary.txt", "--para_save_dir", str(run),
            "--batch_size", str(batch_size), *FLAGS, *more]


SAMPLED = ["--sample_softmax", "--n_negative_samples_batch", "9"]


@pytest.mark.slow
@pytest.mark.parametrize("softmax", [
    [], SAMPLED, [*SAMPLED, "--share_softmax", "False"],
    [*SAMPLED, "--optim", "adam", "--learning_rate", "0.001"],
    [*SAMPLED, "--gradient_accumulation", "2"],
], ids=["full", "sampled", "a softmax a direction", "dense gradients of tables", "accumulated"])
def test_two_ranks_equal_one_rank_with_the_whole_batch(corpus_folder, softmax):
    one, two = corpus_folder / "one", corpus_folder / "two"
    common = ["--dropout", "0", "--max_steps", "20", "--shuffle", *softmax]
    main(flags(corpus_folder, one, 8, *common))
    output = launch(corpus_folder, *flags(corpus_folder, two, 4, *common))
    assert output.count("finished at step 20") >= 1
    for line, expected in zip(figures(two), figures(one)):
        assert line["step"] == expected["step"]
        np.testing.assert_allclose(line["loss"], expected["loss"], rtol=0, atol=1e-4)
    assert len(figures(two)) == len(figures(one)) == 21
    weights, expected = (load_file(run / "step_00000020/model.safetensors") for run in (two, one))
    for name in expected:
        np.testing.assert_allclose(weights[name], expected[name], rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("softmax", [[], SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize("before, after", [(2, 1), (1, 2)])
def test_other_numbers_of_ranks_go_on(corpus_folder, softmax, before, after):
    """Every token of the epoch is trained on, and no more, though the rows change on the way."""
    run = corpus_folder / "run"
    options = flags(corpus_folder, run, 4, "--test_path", "", "--max_epoch", "1", *softmax)
    _train(corpus_folder, before, *options, "--max_steps", "7")
    output = _train(corpus_folder, after, "--resume", "--para_save_dir", str(run),
                    "--max_steps", "0")
    assert f"was written with {4 * before} rows a batch over all processes, now there are " \
           f"{4 * after}" in output
    assert figures(run)[-1]["tokens"] == 775  # one epoch
    assert "epoch 1.00" in output


def _train(folder, processes, *options):
    if processes > 1:
        return launch(folder, *options, processes=processes)
    command = [sys.executable, "-m", "bilm.train", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_larks_variables_start_the_processes(corpus_folder):
    one, two = corpus_folder / "one", corpus_folder / "two"
    common = ["--dropout", "0", "--max_steps", "5"]
    main(flags(corpus_folder, one, 8, *common))
    processes = _start_two(lambda number: ["-m", "bilm.train",
                                           *flags(corpus_folder, two, 4, *common)])
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    np.testing.assert_allclose([line["loss"] for line in figures(two)],
                               [line["loss"] for line in figures(one)], rtol=0, atol=1e-4)


def _free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


LARKS = {"PADDLE_TRAINERS": "10.0.0.1,10.0.0.2", "PADDLE_PORT": "6170", "PADDLE_TRAINER_ID": "1",
         "POD_IP": "10.0.0.2"}


BUCKETS = '''
import sys
import numpy as np
import paddle
from bilm.training import distributed
from bilm.training.gradient_exchange import GradientExchange

distributed.start()
sizes = [3, 70, 5, 200, 1, 40, 40, 30]
parameters = [paddle.create_parameter([size], "float32") for size in sizes]
exchange = GradientExchange(parameters, bucket_bytes=300)
print("buckets", [len(bucket.parameters) for bucket in exchange._buckets])
for step in range(3):
    factors = [np.random.default_rng([step, rank]).normal(size=200) for rank in range(2)]
    factor = paddle.to_tensor(factors[distributed.rank()], "float32")
    for part in range(2):
        if part == 1:
            exchange.start()
        sum((parameter * factor[: parameter.size]).sum() for parameter in parameters).backward()
    with paddle.no_grad():
        exchange.finish()
    for parameter in parameters:
        expected = 2 * sum(factors)[: parameter.size]
        np.testing.assert_allclose(parameter.grad.numpy(), expected, rtol=1e-5, atol=1e-6)
        parameter.clear_gradient()
print("equal")
'''


def _start_two(command):
    """Start command(0) and command(1) of this Python with LARK's variables."""
    addresses, port = ["127.0.0.1", "127.0.0.2"], str(_free_port())
    return [
        subprocess.Popen(
            [sys.executable, *command(number)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, "PADDLE_TRAINERS": ",".join(addresses), "POD_IP": address,
                            "PADDLE_PORT": port, "PADDLE_TRAINER_ID": str(number)})
        for number, address in enumerate(addresses)
    ]


@pytest.mark.slow
def test_gradients_are_summed_in_buckets():
    processes = _start_two(lambda number: ["-c", BUCKETS])
    for output in [process.communicate(timeout=120)[0] for process in processes]:
        # 300 bytes are 75 floats; from the last parameter to the first
        assert "buckets [2, 2, 1, 2, 1]" in output and "equal" in output, output


@pytest.mark.slow
@pytest.mark.parametrize("what", ["text", "vocabulary", "flags"])
def test_processes_that_differ_are_told(corpus_folder, what):
    other = corpus_folder / "other"
    shutil.copytree(corpus_folder / "train", other / "train")
    shutil.copytree(corpus_folder / "dev", other / "dev")
    shutil.copy(corpus_folder / "vocabulary.txt", other)
    more = []
    if what == "flags":
        more = ["--learning_rate", "0.1"]
    else:
        path = other / ("train/sentence_file_0" if what == "text" else "vocabulary.txt")
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n")
    processes = _start_two(lambda number: ["-m", "bilm.train", *flags(
        [corpus_folder, other][number], corpus_folder / "run", 4, *([], more)[number])])
    told = {"text": "the training text", "vocabulary": "the vocabulary", "flags": "the flags"}
    for output in [process.communicate(timeout=120)[0] for process in processes]:
        assert f"error: the processes differ: {told[what]} of process 1 is not that of" in output


def test_larks_variables_become_the_launchers():
    assert endpoints_of(LARKS) == {
        "PADDLE_TRAINERS_NUM": "2", "PADDLE_CURRENT_ENDPOINT": "10.0.0.2:6170",
        "PADDLE_TRAINER_ENDPOINTS": "10.0.0.1:6170,10.0.0.2:6170",
    }
    assert endpoints_of({**LARKS, "PADDLE_TRAINER_ENDPOINTS": "10.0.0.1:1"}) == {}  # a launcher's
    assert endpoints_of({}) == {}
    alone = {**LARKS, "PADDLE_TRAINERS": "10.0.0.1", "PADDLE_TRAINER_ID": "0", "POD_IP": ""}
    assert endpoints_of(alone) == {"PADDLE_TRAINERS_NUM": "1"}


@pytest.mark.parametrize("changes, message", [
    ({"PADDLE_PORT": ""}, "PADDLE_PORT must be the port"),
    ({"PADDLE_TRAINER_ID": "2"}, "PADDLE_TRAINER_ID must be a number from 0 to 1, not '2'"),
    ({"POD_IP": "10.0.0.1"}, "trainer 1 is 10.0.0.2, but POD_IP is 10.0.0.1"),
    ({"PADDLE_TRAINERS": "10.0.0.2,10.0.0.2"}, "an address of its own"),
    ({"PADDLE_TRAINERS_NUM": "3"}, "these are 2, but PADDLE_TRAINERS_NUM is 3"),
])
def test_larks_variables_that_do_not_fit_are_told(changes, message):
    with pytest.raises(InputError, match=message):
        endpoints_of({**LARKS, **changes})


@pytest.mark.slow
def test_a_process_that_dies_brings_the_others_down(corpus_folder):
    """By hand and by the launcher; what was saved resumes as if nothing had been."""
    run, whole = corpus_folder / "run", corpus_folder / "whole"
    options = flags(corpus_folder, run, 4, *EVERYTHING_RANDOM, "--test_path", "",
                    "--save_interval", "5", "--log_interval", "1")
    launcher = subprocess.Popen(
        launch_command(corpus_folder, *options, "--max_steps", "100000", "--max_epoch", "100000"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(run.glob("step_*"))) < 2:
        assert time.monotonic() < deadline and launcher.poll() is None
        time.sleep(0.1)
    workers = _children(launcher.pid)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    assert launcher.wait(timeout=60) != 0
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    last = int((run / "latest").read_text()[5:])
    launch(corpus_folder, "--resume", "--para_save_dir", str(run), "--max_steps", str(last + 6))
    options[options.index(str(run))] = str(whole)
    launch(corpus_folder, *options, "--max_steps", str(last + 6), "--max_epoch", "100000")
    assert [line["loss"] for line in figures(run)] == [line["loss"] for line in figures(whole)]


@pytest.mark.slow
def test_stopping_the_launcher_stops_and_saves(corpus_folder):
    run = corpus_folder / "run"
    launcher = subprocess.Popen(
        launch_command(corpus_folder, *flags(corpus_folder, run, 4, "--max_epoch", "100000")),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (run / "metrics.jsonl").is_file() or not figures(run):
        assert time.monotonic() < deadline and launcher.poll() is None
        time.sleep(0.1)
    workers = _children(launcher.pid)
    launcher.terminate()
    launcher.wait(timeout=60)
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    steps = figures(run)[-1]["step"]
    assert (run / "latest").read_text() == f"step_{steps:08d}\n"


def _children(pid):
    """Return the processes that train; the launcher starts no others."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if path.read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return sorted(found)


@pytest.mark.slow
def test_without_a_launcher_the_survivor_says_what_has_happened(corpus_folder):
    processes = _start_two(lambda number: ["-m", "bilm.train", *flags(
        corpus_folder, corpus_folder / "run", 4, "--max_epoch", "100000")])
    deadline = time.monotonic() + 120
    while not (corpus_folder / "run/metrics.jsonl").is_file():
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.1)
    processes[1].kill()
    output, _ = processes[0].communicate(timeout=60)
    processes[1].communicate()
    assert processes[0].returncode == 2
    assert "process 0 of 2: another process has ended or cannot be reached" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_two_ranks_resume_exactly(corpus_folder):
    whole, halves = corpus_folder / "whole", corpus_folder / "halves"
    options = flags(corpus_folder, whole, 4, *EVERYTHING_RANDOM, "--test_path", "")
    launch(corpus_folder, *options, "--max_steps", "16")
    options[options.index(str(whole))] = str(halves)
    launch(corpus_folder, *options, "--max_steps", "7")
    launch(corpus_folder, "--resume", "--para_save_dir", str(halves), "--max_steps", "16")
    assert figures(halves) == figures(whole)
    for name in ("model", "training/optimizer", "training/lstm"):
        path = f"step_00000016/{name}.safetensors"
        assert (halves / path).read_bytes() == (whole / path).read_bytes()


def test_a_launch_into_a_held_folder_is_refused_by_all_its_processes(corpus_folder):
    run = corpus_folder / "run"
    new, resumed = flags(corpus_folder, run, 4), ["--resume", "--para_save_dir", str(run)]
    main([*new, "--max_steps", "2"])
    with RunFolder(run, "--para_save_dir"):
        leave_leftovers(run)
        before = snapshot(run)
        for arguments in (new, resumed):
            _assert_two_are_refused(run, arguments)
        launched = subprocess.run(launch_command(corpus_folder, *resumed), capture_output=True,
                                  timeout=240, check=False)
        logs = [path.read_text() for path in sorted((corpus_folder / "log").glob("workerlog.*"))]
        assert launched.returncode != 0
        assert [_errors(log) for log in logs] == [[refusal(run)]] * 2, logs
        assert snapshot(run) == before


def test_two_live_processes_go_on_when_two_others_are_refused(corpus_folder):
    """They are not stopped meanwhile: gloo gives up after 30 seconds."""
    run = corpus_folder / "run"
    training = _start_two(lambda number: ["-m", "bilm.train", *flags(
        corpus_folder, run, 4, "--test_path", "", "--max_epoch", "100000", "--save_interval", "1",
        "--log_interval", "100000")])
    with live(run, *training):
        _assert_two_are_refused(run, ["--resume", "--para_save_dir", str(run)])


def _assert_two_are_refused(run, arguments):
    refused = _start_two(lambda number: ["-m", "bilm.train", *arguments])
    outputs = [process.communicate(timeout=240)[0] for process in refused]
    assert [process.returncode for process in refused] == [2, 2], outputs
    assert [_errors(output) for output in outputs] == [[refusal(run)]] * 2


def _errors(output):
    """Return the lines that tell errors, of what bilm printed."""
    assert "Traceback" not in output
    return [line for line in output.splitlines(keepends=True) if line.startswith("error: ")]
