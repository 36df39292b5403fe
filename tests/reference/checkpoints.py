"""A checkpoint of random values, and its comparison."""

import numpy as np

from bilm.network.config import BiLMConfig
from bilm.storage.stored_model import StoredModel, parameter_shapes


def build(vocabulary, seed=0):
    random = np.random.default_rng(seed)
    config = BiLMConfig(vocab_size=len(vocabulary), projection_size=4, cell_size=6, num_layers=1,
                        dropout=0.25)
    tensors = {name: random.normal(size=shape).astype(np.float32)
               for name, shape in parameter_shapes(config).items()}
    tensors["softmax.bias"][:3] = [-0.0, 1e-45, 3.4e38]
    return StoredModel(
        config,
        tensors,
        vocabulary=vocabulary,
        segmentation={"segmenter": "space", "options": {"normalize": "没有"}},
        training={
            "state.json": {
                "step": 7, "tokens": 9, "random_seed": 0, "epoch": 0.1, "tokens_per_epoch": 90,
                "total_steps": 70, "interval": {"nats": 0.1, "predictions": 2}, "scaler": None,
                "stream": {"epoch": 0, "shard": 0, "offset": 5, "line": 1, "sentence": 1},
                "shards": [["雨", 9, "0" * 64]], "options": {}, "text": "雨",
            },
            "optimizer.safetensors": {"embedding.weight.moment1_0": random.random((30, 40))},
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
        assert np.asarray(actual[name]).tobytes() == array.tobytes()
