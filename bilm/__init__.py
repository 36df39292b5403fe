"""A bidirectional LSTM language model and ELMo for Chinese, on PaddlePaddle.

Importing this package imports no Paddle and configures nothing: the public names
below are resolved when they are first used.
"""

from bilm.lazy_names import lazy_names

__version__ = "0.1.0"

_HOME_OF = {
    "BiLM": "bilm.network.model",
    "BiLMConfig": "bilm.network.config",
    "ELMo": "bilm.elmo",
    "Embedder": "bilm.inference.embedder",
    "InputError": "bilm.errors",
    "LSTMState": "bilm.network.lstm",
    "Vocabulary": "bilm.text.vocabulary",
    "elmo_encoder": "bilm.static_graph",
    "init_pretraining_params": "bilm.static_graph",
    "tune_cpu": "bilm.hardware",
}
__all__ = sorted(_HOME_OF)

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
