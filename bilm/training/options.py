"""The options of `bilm pretrain`, under LARK's names where LARK has one."""

from dataclasses import dataclass
from functools import partial

from bilm.errors import InputError
from bilm.network.config import BiLMConfig
from bilm.program.options import not_chosen, option, out_of_range
from bilm.text.vocabulary import Vocabulary

OPTIMIZERS = ("adagrad", "sgd", "adam", "rmsprop", "rprop")
DECAYS = ("none", "linear", "cosine")

# LARK's flags that mean nothing here: flag, its default, what became of it.
OBSOLETE = (
    ("data_path", "", "use --train_path"),
    ("enable_ce", False, "RUN/metrics.jsonl holds every figure"),
    ("test_nccl", False, "gradients are exchanged by paddle.distributed"),
    ("use_custom_samples", False, "candidates are always drawn by the program"),
    ("update_method", "nccl2", "start several processes with paddle.distributed.launch"),
    ("local", False, "the number of processes decides"),
)

_data, _model, _batches, _optimisation, _output, _device = (
    partial(option, group=group)
    for group in ("data", "model", "batches", "optimisation", "output", "device")
)


@dataclass(frozen=True)
class TrainingOptions:
    """The options of one training run; their help texts stand beside them.

    Raises:
        InputError: One or more values are out of range; the message lists all of them.
    """

    train_path: str = _data("", "segmented training text, plain or .gz", metavar="GLOB")
    test_path: str = _data("", "segmented text for dev evaluations; empty: none", metavar="GLOB")
    vocab_path: str = _data("", "vocabulary, one word a line", metavar="FILE")
    shuffle: bool = _data(False, "shuffle shards, and sentences within a bounded buffer")
    all_train_tokens: int = _data(
        0, "ignored; tokens are counted (accepted for LARK's scripts)"
    )

    embed_size: int = _model(512, "features of an embedding and of a projection",
                             aliases=["projection_size"])
    hidden_size: int = _model(4096, "features of an LSTM cell", aliases=["cell_size"])
    num_layers: int = _model(2, "LSTM layers a direction")
    cell_clip: float = _model(3.0, "largest absolute value in a cell; 0: none")
    proj_clip: float = _model(3.0, "largest absolute value in a projection; 0: none",
                              aliases=["projection_clip"])
    use_skip_connections: bool = _model(True, "add the input of layers from the second on")
    bidirectional: bool = _model(True, "train a backward direction too")
    share_softmax: bool = _model(True, "one softmax for both directions")
    lark_init: bool = _model(False, "initialise as LARK does (Paddle's defaults, forget bias 0)")
    load_pretraining_params: str = _model("", "checkpoint whose weights to start from",
                                          metavar="PATH")

    batch_size: int = _batches(128, "rows of a batch, for each process")
    num_steps: int = _batches(20, "tokens of a window (truncated backpropagation)")
    gradient_accumulation: int = _batches(1, "batches whose gradients are added for one step")
    state_reset_rate: float = _batches(
        0.1, "share of rows, 0 to 1, whose LSTM state is set to zero before a window (LARK: 0)"
    )
    max_epoch: int = _batches(10, "passes over the training text")
    max_steps: int = _batches(0, "largest number of steps; 0: no limit")
    random_seed: int = _batches(0, "decides initial weights, dropout, order and candidates")

    optim: str = _optimisation("adagrad", "optimiser (rprop: LARK's name of rmsprop)",
                               choices=OPTIMIZERS)
    learning_rate: float = _optimisation(0.2, "learning rate after warm-up")
    warmup_steps: int = _optimisation(0, "steps of linear warm-up")
    decay: str = _optimisation("none", "decay of the learning rate after warm-up", choices=DECAYS)
    decay_steps: int = _optimisation(0, "step at which the decay reaches 0; 0: the last one")
    dropout: float = _optimisation(
        0.1, "share of features, 0 to 1, at the input of each LSTM layer and on the top output"
    )
    max_grad_norm: float = _optimisation(10.0, "global norm that gradients are clipped to; 0: none")
    sample_softmax: bool = _optimisation(False, "train with a sampled softmax")
    n_negative_samples_batch: int = _optimisation(8000, "words that the sampled softmax draws")
    amp: str = _optimisation("O0", "mixed precision on GPUs", choices=("O0", "O1", "O2"))

    para_save_dir: str = _output("checkpoints", "folder of checkpoints and metrics (RUN)",
                                 metavar="DIR")
    log_interval: int = _output(100, "steps between log lines")
    dev_interval: int = _output(10000, "steps between dev evaluations")
    save_interval: int = _output(
        10000, "steps between checkpoints; one is also written after each epoch"
    )
    keep: int = _output(3, "newest checkpoints to keep; 0: all")

    use_gpu: bool = _device(False, "train on the GPU")
    threads: int = _device(0, "CPU threads; 0: one for each usable core")

    def __post_init__(self):
        problems = list(self._problems())
        if problems:
            raise InputError("; ".join(problems))

    def _problems(self):
        yield from out_of_range(
            self,
            counts=("embed_size", "hidden_size", "num_layers", "batch_size", "num_steps",
                    "gradient_accumulation", "max_epoch", "n_negative_samples_batch",
                    "log_interval", "dev_interval", "save_interval"),
            not_negative=("cell_clip", "proj_clip", "max_grad_norm", "max_steps", "warmup_steps",
                          "decay_steps", "keep", "threads", "random_seed"),
            positive=("learning_rate",),
            dropouts=("dropout",),
            rates=("state_reset_rate",),
        )
        yield from not_chosen(self)
        if self.amp != "O0" and not self.use_gpu:
            yield f"--amp {self.amp} needs --use_gpu True"
        if not self.train_path:
            yield "--train_path is missing: give a glob of segmented text"
        if self.decay_steps and self.decay_steps <= self.warmup_steps:
            yield "--decay_steps must be above --warmup_steps"

    @property
    def optimizer(self) -> str:
        """The optimiser's usual name: LARK calls rmsprop `rprop`."""
        return "rmsprop" if self.optim == "rprop" else self.optim

    def model_config(self, vocabulary: Vocabulary) -> BiLMConfig:
        """Return the configuration of a new model with this vocabulary.

        Raises:
            InputError: The options and the vocabulary make no model; all problems are listed.
        """
        return BiLMConfig(
            vocab_size=len(vocabulary),
            projection_size=self.embed_size,
            cell_size=self.hidden_size,
            num_layers=self.num_layers,
            cell_clip=self.cell_clip,
            projection_clip=self.proj_clip,
            use_skip_connections=self.use_skip_connections,
            bidirectional=self.bidirectional,
            share_softmax=self.share_softmax,
            dropout=self.dropout,
            bos_id=vocabulary.bos_id,
            eos_id=vocabulary.eos_id,
            unk_id=vocabulary.unk_id,
        )


# A resumed run continues the same computation: these cannot change on the way.
FIXED_AT_RESUME = (
    "embed_size", "hidden_size", "num_layers", "cell_clip", "proj_clip", "use_skip_connections",
    "bidirectional", "share_softmax", "lark_init", "load_pretraining_params", "batch_size",
    "num_steps", "gradient_accumulation", "shuffle", "random_seed", "optim", "sample_softmax",
    "n_negative_samples_batch", "dropout", "state_reset_rate", "amp",
)
