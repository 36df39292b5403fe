"""Everything that `lac train` can be told, with LARK's names as aliases."""

from dataclasses import dataclass, fields
from typing import Optional

from bilm.embed import UNKNOWN
from bilm.errors import InputError
from bilm.mixes import VARIANTS
from bilm.options import not_chosen, option, out_of_range

# LARK's flags that mean nothing here: flag and what became of it.
OBSOLETE = (
    ("corpus_type_list", "all files of --train_path are read"),
    ("corpus_proportion_list", "all sentences count the same"),
    ("traindata_shuffle_buffer", "the whole training data is shuffled"),
)


@dataclass(frozen=True)
class TaggerOptions:
    """The options of one training run; their help texts stand beside them.

    Raises:
        InputError: One or more values are out of range; the message lists all of them.
    """

    train_path: str = option("", "tagged training data: file, folder or glob",
                             aliases=["traindata_dir"])
    dev_path: str = option("", "tagged data that decides when to stop: file, folder or glob",
                           aliases=["testdata_dir"])
    test_path: str = option("", "tagged data on which the best model is scored in the end")
    save_dir: str = option("tagger", "folder of checkpoints and metrics (RUN)",
                           aliases=["model_save_dir"])
    elmo: str = option("none", "biLM (folder, run or LARK checkpoint), or none",
                       aliases=["pretrain_elmo_model_path"])
    elmo_vocab_path: str = option("", "vocabulary of a biLM that comes without",
                                  aliases=["elmo_dict_dir"])
    load_pretraining_params: str = option("", "tagger to go on from, with its words and tags")

    variant: str = option("elmo", "layers as the biLM computes them, or as LARK's encoder does",
                          choices=VARIANTS)
    finetune_elmo: bool = option(False, "train the biLM, too")
    elmo_learning_rate: float = option(0.1, "learning rate of the biLM, times --learning_rate")
    elmo_unknown: str = option("characters", "what ELMo reads for words that it does not know",
                               choices=UNKNOWN)
    elmo_dropout: float = option(0.2, "dropout on ELMo's vectors (lark: on its LSTM layers)")
    elmo_l2_coef: float = option(0.001, "L2 regularisation of the mix weights")
    word_embedding_size: int = option(128, "size of the word embedding", aliases=["word_emb_dim"])
    gru_size: int = option(256, "size of a GRU, each direction", aliases=["grnn_hidden_dim"])
    num_layers: int = option(2, "BiGRU layers", aliases=["bigru_num"])
    dropout: float = option(0.3, "at the input of each BiGRU layer and on the top output")
    char_features: bool = option(False, "add features made from the characters of words")
    character_size: int = option(64, "size of the character features")
    constrained_decoding: bool = option(True, "never let an I follow a wrong tag")

    word_dict_path: str = option("", "the tagger's vocabulary; empty: words of the training data")
    min_word_count: int = option(1, "rarer words are not in the tagger's vocabulary")
    label_dict_path: str = option("", "file of all tags; empty: those of the training data")
    fold_width: bool = option(True, "full-width and half-width forms are one")
    word_rep_dict_path: str = option("", "table of forms to fold; empty: Unicode's")
    customization: str = option("", "user dictionary to store in the model")

    max_epochs: int = option(30, "passes over the training data")
    max_steps: int = option(0, "stop after so many steps; 0: no limit", aliases=["num_iterations"])
    max_train_sentences: int = option(0, "use the first so many sentences; 0: all")
    patience: int = option(5, "stop after so many evaluations without a better dev F1",
                           aliases=["eval_window"])
    eval_interval: int = option(0, "steps between evaluations and checkpoints; 0: an epoch",
                                aliases=["save_model_per_batchs"])
    batch_size: int = option(32, "sentences in a batch")
    learning_rate: float = option(1e-3, "of Adam", aliases=["base_learning_rate"])
    emb_learning_rate: float = option(1.0, "of the word embedding, times --learning_rate")
    crf_learning_rate: float = option(0.2, "of the CRF, times --learning_rate")
    l2_coef: float = option(1e-4, "L2 regularisation of GRU and linear weights")
    unknown_rate: float = option(
        0.5, "how often a word that occurs once in the training data is taken for unknown"
    )
    max_grad_norm: float = option(10.0, "global norm that gradients are clipped to; 0: no clip")
    random_seed: int = option(0, "decides initial weights, dropout and order")
    cache_megabytes: int = option(4096, "ELMo layers of a data set up to this size are kept in "
                                  "memory, larger ones in a file in --save_dir")
    log_interval: int = option(100, "steps between log lines")
    keep: int = option(1, "newest checkpoints to keep beside the best; 0: all")
    use_gpu: bool = option(False, "train on the GPU")
    threads: int = option(0, "CPU threads; 0: one for each usable core")

    def __post_init__(self):
        problems = list(self._problems())
        if problems:
            raise InputError("; ".join(problems))

    def _problems(self):
        yield from out_of_range(
            self,
            counts=("word_embedding_size", "gru_size", "num_layers", "character_size",
                    "min_word_count", "max_epochs", "patience", "batch_size", "log_interval"),
            not_negative=("elmo_l2_coef", "l2_coef", "max_steps", "max_train_sentences",
                          "eval_interval", "max_grad_norm", "random_seed", "cache_megabytes",
                          "keep", "threads", "elmo_learning_rate", "emb_learning_rate",
                          "crf_learning_rate"),
            positive=("learning_rate",),
            dropouts=("dropout", "elmo_dropout"),
            rates=("unknown_rate",),
        )
        yield from not_chosen(self)
        for name in ("train_path", "dev_path"):
            if not getattr(self, name):
                yield f"--{name} is missing: give a file, a folder or a glob of tagged text"
        if self.load_pretraining_params:
            defaults = {field.name: field.default for field in fields(self)}
            for name in DECIDED_BY_TAGGER:
                if getattr(self, name) != defaults[name]:
                    yield (f"--{name} goes without --load_pretraining_params: the tagger that is "
                           "trained further decides it")
        if self.finetune_elmo and self.elmo_path is None and not self.load_pretraining_params:
            yield "--finetune_elmo needs --elmo"

    @property
    def elmo_path(self) -> Optional[str]:
        """The biLM, or None."""
        return None if self.elmo in ("", "none") else self.elmo


# What a tagger that is trained further brings with it.
DECIDED_BY_TAGGER = (
    "elmo", "elmo_vocab_path", "variant", "elmo_unknown", "elmo_dropout", "word_embedding_size",
    "gru_size", "num_layers", "dropout", "char_features", "character_size",
    "constrained_decoding", "word_dict_path", "min_word_count", "label_dict_path", "fold_width",
    "word_rep_dict_path",
)

# What changes no result.
WITHOUT_EFFECT = ("save_dir", "cache_megabytes", "log_interval", "keep", "threads", "use_gpu")

# A resumed run continues the same computation: these may change on the way.
CHANGEABLE_AT_RESUME = (
    *WITHOUT_EFFECT, "train_path", "dev_path", "test_path", "max_epochs", "max_steps", "patience",
    "elmo", "elmo_vocab_path", "customization",
)
