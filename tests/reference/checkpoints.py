"""A checkpoint of random values, and its comparison."""

import numpy as np

from bilm.network.config import BiLMConfig
from bilm.storage.checkpoint import Checkpoint


def build(vocabulary, seed=0):
    random = np.random.default_rng(seed)
    return Checkpoint(
        BiLMConfig(vocab_size=len(vocabulary), projection_size=4, cell_size=6, num_layers=1,
                   dropout=0.25),
        vocabulary,
        {"segmenter": "space", "options": {"normalize": "没有"}},
        {"embedding.weight": random.normal(size=(30, 40)).astype(np.float32),
         "softmax.bias": np.array([-0.0, 1e-45, 3.4e38], np.float32)},
        {
            "state.json": {
                "step": 7, "tokens": 9, "random_seed": 0, "epoch": 0.1, "tokens_per_epoch": 90,
                "total_steps": 70, "interval": {"nats": 0.1, "predictions": 2}, "scaler": None,
                "stream": {"epoch": 0, "shard": 0, "offset": 5, "line": 1, "sentence": 1},
                "shards": [["雨", 9, "0" * 64]], "options": {}, "text": "雨",
            },
            "optimizer.safetensors": {"embedding.weight.moment_0": random.random((30, 40))},
            "lstm.safetensors": {"hidden": random.random((2, 1, 3, 4), np.float32),
                                 "cell": random.random((2, 1, 3, 6), np.float32)},
            "rows.safetensors": {"row_tokens": np.arange(9), "row_lengths": np.array([4, 0, 5]),
                                 "row_done": np.array([1, 0, 5])},
        },
    )


def assert_equal_arrays(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        assert actual[name].tobytes() == array.tobytes()
