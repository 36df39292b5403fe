"""Everything that `bilm pretrain` can be told, under LARK's names where LARK has one."""

from dataclasses import dataclass

from bilm.config import BiLMConfig
from bilm.errors import InputError
from bilm.options import not_chosen, option, out_of_range

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


@dataclass(frozen=True)
class TrainingOptions:
    """The options of one training run; their help texts stand beside them.

    Raises:
        InputError: One or more values are out of range; the message lists all of them.
    """

    train_path: str = option("", "glob of segmented training text, plain or .gz")
    test_path: str = option("", "glob of segmented text for dev evaluations; empty: none")
    vocab_path: str = option("", "vocabulary file, one word a line")
    para_save_dir: str = option("checkpoints", "folder of checkpoints and metrics (RUN)")
    load_pretraining_params: str = option("", "checkpoint whose weights to start from")

    embed_size: int = option(512, "size of embeddings and projections", aliases=["projection_size"])
    hidden_size: int = option(4096, "size of LSTM cells", aliases=["cell_size"])
    num_layers: int = option(2, "LSTM layers a direction")
    cell_clip: float = option(3.0, "clip of cells; 0: none")
    proj_clip: float = option(3.0, "clip of projections; 0: none", aliases=["projection_clip"])
    use_skip_connections: bool = option(True, "add the input of layers from the second on")
    bidirectional: bool = option(True, "train a backward direction too")
    share_softmax: bool = option(True, "one softmax for both directions")
    lark_init: bool = option(False, "initialise as LARK does (Paddle's defaults, forget bias 0)")

    batch_size: int = option(128, "rows of a batch, for each process")
    num_steps: int = option(20, "steps of a window (truncated backpropagation)")
    gradient_accumulation: int = option(1, "batches whose gradients are added for one step")
    state_reset_rate: float = option(
        0.1, "how often a row's LSTM state is set to zero before a window (LARK: 0)"
    )
    max_epoch: int = option(10, "passes over the training text")
    max_steps: int = option(0, "stop after so many steps; 0: no limit")
    all_train_tokens: int = option(0, "accepted for LARK's scripts; the program counts itself")
    shuffle: bool = option(False, "shuffle shards, and sentences within a bounded buffer")
    random_seed: int = option(0, "decides initial weights, dropout, order and candidates")

    optim: str = option("adagrad", "optimiser (rprop: LARK's name of rmsprop)", choices=OPTIMIZERS)
    learning_rate: float = option(0.2, "learning rate after warm-up")
    warmup_steps: int = option(0, "steps of linear warm-up")
    decay: str = option("none", "decay of the learning rate after warm-up", choices=DECAYS)
    decay_steps: int = option(0, "the decay reaches 0 after this step; 0: after the last")
    dropout: float = option(0.1, "at the input of each LSTM layer and on the top output")
    max_grad_norm: float = option(10.0, "global norm that gradients are clipped to; 0: no clip")
    sample_softmax: bool = option(False, "train with a sampled softmax")
    n_negative_samples_batch: int = option(8000, "candidates of the sampled softmax")
    amp: str = option("O0", "mixed precision on GPUs", choices=("O0", "O1", "O2"))

    log_interval: int = option(100, "steps between log lines")
    dev_interval: int = option(10000, "steps between dev evaluations")
    save_interval: int = option(10000, "steps between checkpoints; each epoch's end has one too")
    keep: int = option(3, "newest checkpoints to keep; 0: all")
    use_gpu: bool = option(False, "train on the GPU")
    threads: int = option(0, "CPU threads; 0: one for each usable core")

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

    def model_config(self, vocabulary) -> BiLMConfig:
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
