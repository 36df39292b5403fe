"""A bidirectional LSTM language model and ELMo for Chinese, on PaddlePaddle.

Importing this package imports no Paddle and configures nothing: the public names
below are resolved when they are first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "BiLM": "bilm.model",
    "BiLMConfig": "bilm.config",
    "ELMo": "bilm.elmo",
    "Embedder": "bilm.embed",
    "InputError": "bilm.errors",
    "LSTMState": "bilm.lstm",
    "Vocabulary": "bilm.vocabulary",
    "elmo_encoder": "bilm.static_graph",
    "init_pretraining_params": "bilm.static_graph",
    "tune_cpu": "bilm.hardware",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'bilm' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOME_OF[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "paddle":
            raise
        raise ModuleNotFoundError(
            f"bilm.{name} needs PaddlePaddle: install this package with its extra [cpu] or [gpu]",
            name="paddle",
        ) from None


def __dir__():
    return sorted([*globals(), *_HOME_OF])
