"""Small taggers and tagged text for tests; sentences written for this project."""

from pathlib import Path

import numpy as np

from bilm.text.segmenters import SegmentationOptions
from bilm.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bilm.training.metrics import read_metrics
from lac.model_folder import read_tagger
from lac.training.options import TaggerOptions
from lac.training.run import train
from tests.reference.models import random_model, write

LINES = (
    "小林 昨天 去 了 青石镇 。\tnr-B t-B v-B u-B ns-B w-B",
    "陈 晨 在 云溪 大学 读书 。\tnr-B nr-I p-B nt-B nt-I v-B w-B",
    "我们 明天 上午 坐 火车 去 海边 ！\tr-B t-B t-I v-B n-B v-B s-B w-B",
    "青石镇 的 桥 很 旧 。\tns-B u-B n-B d-B a-B w-B",
    "你 喜欢 这 本 书 吗 ？\tr-B v-B r-B q-B n-B xc-B w-B",
    "老周 说 ， 云溪 大学 很 大 。\tnr-B v-B w-B nt-B nt-I d-B a-B w-B",
    "春天 到 了 ， 花 都 开 了 。\tt-B v-B u-B w-B n-B d-B v-B u-B w-B",
    "昨天 小林 买 了 三 本 书 。\tt-B nr-B v-B u-B m-B q-B n-B w-B",
)
QUICK = ["--gru_size", "8", "--word_embedding_size", "8", "--num_layers", "1", "--max_epochs", "2",
         "--quiet"]
WORDS = sorted({word for line in LINES for word in line.split("\t")[0].split(" ")})


def write_text(folder, lines=LINES, name="train.tsv") -> Path:
    path = Path(folder) / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def two_corpora(folder):
    """Write two sentences of news and six of chats; return the flags that name them."""
    (folder / "data/chats").mkdir(parents=True)
    write_text(folder / "data", LINES[:2], "news_1.tsv")
    write_text(folder / "data/chats", LINES[2:5], "a.tsv")
    write_text(folder / "data/chats", LINES[5:], "b.tsv")
    return {"train_path": str(folder / "data"), "corpus_type_list": "news chats",
            "corpus_proportion_list": "0.7 0.3"}


def small_bilm(folder, seed=0) -> Path:
    """Write a biLM with random weights that knows the words of LINES; return its folder."""
    model = random_model(seed, vocab_size=len(WORDS) + 3, projection_size=6, cell_size=10)
    model = model._replace(
        vocabulary=Vocabulary([*SPECIAL_TOKENS, *WORDS]),
        segmentation=SegmentationOptions().describe(),
    )
    return write(Path(folder) / "bilm", model, "bilm")


def options(folder, **changes) -> TaggerOptions:
    """Return options of a run that learns LINES within seconds."""
    path = Path(folder) / "train.tsv"
    if not path.exists():
        write_text(folder)
    given = {
        "train_path": str(path), "dev_path": str(path), "save_dir": str(Path(folder) / "run"),
        "word_embedding_size": 16, "gru_size": 16, "batch_size": 3, "max_epochs": 3,
        "learning_rate": 0.01, "dropout": 0.1, "log_interval": 2, "crf_learning_rate": 1.0,
        "threads": 1, "patience": 50, **changes,
    }
    return TaggerOptions(**given)


def trained(folder, **changes) -> Path:
    """Return the folder of a run that has learned LINES."""
    changes = {"max_epochs": 30, "unknown_rate": 0.0, **changes}
    train(options(folder, **changes))
    return Path(folder) / "run"


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


def arguments(folder, *more):
    return ["--train_path", str(folder / "train.tsv"), "--dev_path", str(folder / "train.tsv"),
            "--save_dir", str(folder / "run"), *more]
