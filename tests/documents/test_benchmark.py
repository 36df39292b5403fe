"""The benchmark's sizes and its picture; no time is looked at."""

import sys

import pytest

from bilm.errors import InputError
from tests.reference.places import ROOT

TOOLS = ROOT / "tools"
if not TOOLS.is_dir():
    pytest.skip("the tools are part of a checkout", allow_module_level=True)
sys.path.append(str(TOOLS))

from benchmark import growth  # noqa: E402
from benchmark import main as benchmark  # noqa: E402
from benchmark.sizes import CONFIGS, batch_shape, roofline_flops, sizes_of  # noqa: E402


def test_a_configuration_takes_other_sizes():
    changed = CONFIGS["mid"]._replace(batch=8, steps=40)
    assert sizes_of("mid:batch=8:steps=40") == changed
    assert batch_shape("embed", changed) == (8, 40)
    assert batch_shape("embed_32", changed) == (32, 40)


@pytest.mark.parametrize("config", ["middle", "mid:", "mid:batch", "mid:batch=0", "mid:rows=8"])
def test_wrong_configurations_are_told(config):
    with pytest.raises(InputError, match=r"--config: .*(none of small|positive number)"):
        sizes_of(config)


def test_the_roofline_counts_the_products():
    # two directions: one layer is 64 x 1024 twice and 256 x 64, two operations a weight
    products = 2 * 2 * (64 * 1024 * 2 + 256 * 64) * 2
    assert roofline_flops("embed_32", "small") == products
    assert roofline_flops("train_full", "small") == 3 * (products + 2 * 2 * 64 * 8_000)
    assert roofline_flops("segment", "small") is None


def _chosen(*arguments):
    return benchmark._checked(benchmark.build_parser().parse_args(arguments))


def test_no_measurement_is_made_twice():
    options = _chosen("--tasks", "all", "--config", "mid:batch=8,mid,mid", "--without", "torch")
    first, second = "mid:batch=8", "mid"
    assert benchmark._pairs(options) == [
        ("train_full", first), ("train_full", second), ("train_sampled", first),
        ("train_sampled", second), ("embed", first), ("embed", second), ("embed_1", first),
        ("lac_tag", first), ("convert", first), ("segment", first),
    ]  # embed of mid is embed_32 of both


@pytest.mark.parametrize("wrong, message", [
    (["--tasks", ","], "--tasks ',' names none of train_full"),
    (["--growth", "/no/such/folder/growth.png"], "growth.png: no file can be written there"),
    (["--threads", "-1"], "--threads must not be negative, not -1"),
])
def test_what_cannot_be_done_is_told_before_anything_is_measured(wrong, message):
    with pytest.raises(InputError, match=message):
        _chosen(*wrong)


@pytest.mark.parametrize("more", [["--tasks", "embed"], ["--tasks", ""],
                                  ["--config", "small,mid"]])
def test_growth_takes_no_other_choice_in_silence(more):
    with pytest.raises(InputError, match="--growth measures tasks of its own"):
        _chosen("--growth", "growth.png", *more)


def test_growth_changes_one_size_at_a_time_and_draws_it(tmp_path):
    pairs = growth.pairs_of("mid")
    assert len(set(pairs)) == len(pairs) and ("embed", "mid") in pairs
    results = [{"task": task, "config": config, "tokens_per_s": 1e3, "roofline_fraction": 0.5,
                "peak_rss_mb": 100} for task, config in pairs]
    growth.plot(results, "mid", tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"growth\.txt: the name must end in one of \..*\.png"):
        growth.check_picture("growth.txt")


# PyTorch says which of its own ways is slow
@pytest.mark.filterwarnings("ignore::UserWarning:torch.*")
@pytest.mark.parametrize("system, task", [
    ("torch", "embed_1"), ("torch", "train_full"), ("torch", "train_sampled"),
    ("torch_lstm", "embed_1"),
])
def test_the_peers_in_pytorch_compute(system, task, tmp_path):
    pytest.importorskip("torch")
    from benchmark import pytorch

    config = "small:vocab=60:projection=6:cell=10:batch=2:candidates=20:steps=4"
    work = pytorch.prepare(task, config, tmp_path, 1, system)
    assert work() == (4 if task == "embed_1" else 8)  # rows times steps
