"""The options of `lac train`, with LARK's names as aliases."""

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Iterator, List, Optional

from bilm.errors import InputError
from bilm.network.mixes import VARIANTS
from bilm.program.options import not_chosen, option, out_of_range
from bilm.text.dictionary import WEIGHTS
from bilm.text.vocabulary import UNKNOWN
from lac.network.config import ELMO_READS
from lac.pieces import KINDS

# LARK's flags without a meaning here, and the reason.
OBSOLETE = {
    "traindata_shuffle_buffer": "the whole training data is shuffled",
}

_data, _pieces, _elmo, _model, _optimisation, _output, _device = (
    partial(option, group=group)
    for group in ("data", "pieces", "ELMo", "model", "optimisation", "output", "device")
)


@dataclass(frozen=True)
class TaggerOptions:
    """The options of one training run; their help texts stand beside them.

    Raises:
        InputError: One or more values are out of range; the message lists all of them.
    """

    train_path: str = _data("", "tagged training data: file, folder or glob",
                            aliases=["traindata_dir"], metavar="GLOB")
    dev_path: str = _data("", "tagged data that decides when to stop: file, folder or glob",
                          aliases=["testdata_dir"], metavar="GLOB")
    test_path: str = _data("", "tagged data on which the best model is scored in the end",
                           metavar="GLOB")
    corpus_type_list: str = _data(
        "", "several corpora: the starts of their files' or folders' names below --train_path",
        several=True, metavar="NAME",
    )
    corpus_proportion_list: str = _data(
        "", "the share of each of these corpora in an epoch's sentences; together 1", several=True,
        metavar="X",
    )
    max_train_sentences: int = _data(0, "use the first N sentences; 0: all")
    word_dict_path: str = _data("", "the tagger's vocabulary; empty: pieces of the training data",
                                metavar="FILE")
    min_word_count: int = _data(1, "pieces that occur fewer times are not in the tagger's "
                                "vocabulary")
    label_dict_path: str = _data("", "file of all tags; empty: those of the training data",
                                 metavar="FILE")
    fold_width: bool = _data(True, "treat full-width and half-width forms as equal")
    word_rep_dict_path: str = _data("", "table of forms to fold; empty: Unicode's", metavar="FILE")
    pieces: str = _pieces(
        "characters", "what the tagger tags: with characters or a dictionary's pieces it decides "
        "itself what a word is, with words a segmenter does", choices=KINDS,
    )
    split_latin: bool = _pieces(False, "characters: split runs of Latin letters and digits, too")
    dictionary: str = _pieces("", "dictionary: words and counts, one a line, or jieba",
                              metavar="FILE")
    dictionary_weights: str = _pieces("counts", "dictionary: lengths: as in LAC 2",
                                      choices=WEIGHTS)
    segmenter: str = _pieces("", "words: what cuts them; empty: what cut the biLM's text, or jieba",
                             choices=("", "jieba", "rjieba"))
    user_dict: str = _pieces("", "words: more words for jieba", metavar="FILE")
    customization: str = _data("", "user dictionary to store in the model", metavar="FILE")

    elmo: str = _elmo("none", "biLM (folder, run or LARK checkpoint), or none",
                      aliases=["pretrain_elmo_model_path"], metavar="PATH")
    elmo_vocab_path: str = _elmo("", "vocabulary of a biLM that comes without",
                                 aliases=["elmo_dict_dir"], metavar="FILE")
    variant: str = _elmo("elmo", "layers as the biLM computes them, or as LARK's encoder does",
                         choices=VARIANTS)
    finetune_elmo: bool = _elmo(False, "train the biLM, too")
    elmo_learning_rate: float = _elmo(0.1, "learning rate of the biLM, times --learning_rate")
    elmo_unknown: str = _elmo("characters", "what ELMo reads for words that it does not know",
                              choices=UNKNOWN)
    elmo_reads: str = _elmo(
        "auto", "pieces, or words of its own, whose vectors every piece in them gets; auto: "
        "pieces if the biLM was trained on such pieces", choices=("auto", *ELMO_READS),
    )
    elmo_dropout: float = _elmo(
        0.2, "dropout, 0 to 1, on ELMo's vectors (lark: on its LSTM layers)"
    )
    elmo_l2_coef: float = _elmo(0.001, "L2 regularisation of the mix weights")
    cache_megabytes: int = _elmo(
        4096, "MB of ELMo's layers of a data set that are kept in memory; more go to a file in "
        "--save_dir"
    )

    word_embedding_size: int = _model(128, "features of the word embedding",
                                      aliases=["word_emb_dim"])
    gru_size: int = _model(256, "features of a GRU, each direction", aliases=["grnn_hidden_dim"])
    num_layers: int = _model(2, "BiGRU layers", aliases=["bigru_num"])
    dropout: float = _model(0.3, "dropout, 0 to 1, at the input of each BiGRU layer and on the top "
                            "output")
    char_features: bool = _model(False, "words, dictionary: add features made from the characters "
                                "of each piece")
    character_size: int = _model(64, "number of these features")
    constrained_decoding: bool = _model(True, "only allow I tags after a matching tag")
    load_pretraining_params: str = _model("", "tagger to go on from, with its pieces and tags",
                                          metavar="DIR")

    max_epochs: int = _optimisation(30, "passes over the training data")
    max_steps: int = _optimisation(0, "stop after this many steps; 0: no limit",
                                   aliases=["num_iterations"])
    patience: int = _optimisation(5, "stop after this many evaluations without a better dev F1",
                                  aliases=["eval_window"])
    batch_size: int = _optimisation(32, "sentences in a batch")
    learning_rate: float = _optimisation(1e-3, "of Adam", aliases=["base_learning_rate"])
    emb_learning_rate: float = _optimisation(1.0, "of the word embedding, times --learning_rate")
    crf_learning_rate: float = _optimisation(0.2, "of the CRF, times --learning_rate")
    l2_coef: float = _optimisation(1e-4, "L2 regularisation of GRU and linear weights")
    unknown_rate: float = _optimisation(
        0.5, "probability, 0 to 1, of replacing a piece that occurs once in the training data by "
        "<unknown>"
    )
    max_grad_norm: float = _optimisation(10.0, "global norm that gradients are clipped to; 0: none")
    random_seed: int = _optimisation(0, "decides initial weights, dropout and order")

    save_dir: str = _output("tagger", "folder of checkpoints and metrics (RUN)",
                            aliases=["model_save_dir"], metavar="DIR")
    eval_interval: int = _output(0, "steps between evaluations and checkpoints; 0: an epoch",
                                 aliases=["save_model_per_batchs"])
    log_interval: int = _output(100, "steps between log lines")
    keep: int = _output(1, "newest checkpoints to keep beside the best; 0: all")

    use_gpu: bool = _device(False, "train on the GPU")
    threads: int = _device(0, "CPU threads; 0: one for each usable core")

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise InputError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
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
        yield from self._problems_of_corpora()
        if self.load_pretraining_params:
            defaults = {field.name: field.default for field in fields(self)}
            settled = DECIDED_BY_TAGGER if self.elmo_path else DECIDED_BY_TAGGER + DECIDED_BY_ELMO
            for name in settled:
                if getattr(self, name) != defaults[name]:
                    yield (f"--{name} cannot be combined with --load_pretraining_params, whose "
                           "tagger decides it")
        if (self.pieces == "dictionary") != bool(self.dictionary):
            yield "--pieces dictionary and --dictionary FILE go together"
        if self.split_latin and self.pieces != "characters":
            yield "--split_latin goes with --pieces characters"
        if self.dictionary_weights != "counts" and self.pieces != "dictionary":
            yield "--dictionary_weights goes with --pieces dictionary"
        if self.char_features and self.pieces == "characters":
            yield ("--char_features goes with --pieces words or dictionary; pieces of one "
                   "character gain nothing from it")
        for name in ("segmenter", "user_dict"):
            if getattr(self, name) and self.pieces != "words":
                yield f"--{name} goes with --pieces words"
        if self.finetune_elmo and self.elmo_path is None and not self.load_pretraining_params:
            yield "--finetune_elmo needs --elmo"

    def _problems_of_corpora(self) -> Iterator[str]:
        types, shares = self.corpus_types, _separated(self.corpus_proportion_list)
        if len(types) != len(shares):
            yield (f"--corpus_type_list has {len(types)} corpora, --corpus_proportion_list "
                   f"{len(shares)} proportions; give as many of both")
        if len(set(types)) < len(types):
            yield f"--corpus_type_list names a corpus twice: {self.corpus_type_list}"
        if types and self.max_train_sentences:
            yield "--max_train_sentences cannot be combined with --corpus_type_list"
        try:
            proportions = self.corpus_proportions
        except ValueError:
            proportions = [math.nan]
        if proportions and not (
            all(share > 0 for share in proportions) and abs(sum(proportions) - 1) <= 1e-6
        ):
            yield ("--corpus_proportion_list must be positive numbers whose sum is 1, not "
                   f"{self.corpus_proportion_list}")

    @property
    def corpus_types(self) -> List[str]:
        """The names of the corpora; none if all training data are one corpus."""
        return _separated(self.corpus_type_list)

    @property
    def corpus_proportions(self) -> List[float]:
        """The share of each corpus in an epoch's sentences."""
        return [float(share) for share in _separated(self.corpus_proportion_list)]

    @property
    def elmo_path(self) -> Optional[str]:
        """The biLM, or None."""
        return None if self.elmo in ("", "none") else self.elmo


def _separated(values: str) -> List[str]:
    return values.replace(",", " ").split()


# Options that a tagger which is trained further has settled.
DECIDED_BY_TAGGER = (
    "pieces", "split_latin", "dictionary", "dictionary_weights", "segmenter", "user_dict",
    "word_embedding_size",
    "gru_size", "num_layers", "dropout", "char_features", "character_size",
    "constrained_decoding", "word_dict_path", "min_word_count", "label_dict_path", "fold_width",
    "word_rep_dict_path",
)

# Those that it has settled if it has ELMo; otherwise they say which ELMo it gets.
DECIDED_BY_ELMO = (
    "elmo", "elmo_vocab_path", "variant", "elmo_unknown", "elmo_reads", "elmo_dropout",
)

# Options that change no result.
WITHOUT_EFFECT = ("save_dir", "cache_megabytes", "log_interval", "keep", "threads", "use_gpu")

# A resumed run continues the same computation, but these options may change.
CHANGEABLE_AT_RESUME = (
    *WITHOUT_EFFECT, "train_path", "dev_path", "test_path", "max_epochs", "max_steps", "patience",
    "elmo", "elmo_vocab_path", "customization",
)
FIXED_AT_RESUME = tuple(
    field.name for field in fields(TaggerOptions) if field.name not in CHANGEABLE_AT_RESUME
)
