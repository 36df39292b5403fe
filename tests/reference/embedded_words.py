"""A small biLM with random weights, its vocabulary and sentences of its words."""

import numpy as np
import paddle

from bilm import BiLM, BiLMConfig, Vocabulary
from bilm.text.vocabulary import SPECIAL_TOKENS

WORDS = [*"天地人你我他", "天气", "公园", "我们", "明天", "下雨"]
VOCABULARY = Vocabulary([*SPECIAL_TOKENS, *WORDS])
CONFIG = BiLMConfig(vocab_size=len(VOCABULARY), projection_size=6, cell_size=10)

# of sizes whose bits every code of MKL keeps: see docs/parity.md
EVEN_CONFIG = BiLMConfig(vocab_size=len(VOCABULARY), projection_size=8, cell_size=12)


def make_model(config=CONFIG):
    paddle.seed(4)
    model = BiLM(config)
    for tensor in model.state_dict().values():
        tensor.set_value(tensor * 1.4 + 0.02)
    return model


def sentences_of(lengths, seed=0):
    random = np.random.default_rng(seed)
    return [list(random.choice(WORDS, length)) for length in lengths]
