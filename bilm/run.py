"""One call of `bilm pretrain`: when to log, evaluate, save and stop."""

import math
import shlex
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import paddle
from tqdm import tqdm

from bilm import distributed
from bilm.checkpoint import (
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    remove_old_checkpoints,
    save_checkpoint,
    set_latest,
    set_weights,
)
from bilm.cli import warn
from bilm.corpus import Corpus
from bilm.errors import InputError
from bilm.evaluate import Totals, evaluate, summarise, warn_of_segmentation
from bilm.files import remove_leftovers
from bilm.metrics import MetricsLog, Progress, format_duration, perplexity_of
from bilm.model import BiLM
from bilm.segmentation import load_segmentation
from bilm.trainer import Trainer
from bilm.training_options import TrainingOptions
from bilm.vocabulary import Vocabulary


class Run:
    """One call of the program: a trainer, its folder, and when to log, evaluate and save.

    Args:
        options: How to train.
        checkpoint: Where to go on; None starts anew.
        source: The checkpoint's folder.

    Raises:
        InputError: Something in the options does not fit what is there.
    """

    def __init__(self, options: TrainingOptions, checkpoint=None, source=None):
        self.options = options
        self.folder = Path(options.para_save_dir)
        self.is_first = distributed.rank() == 0
        self._start_folder(checkpoint)
        self.vocabulary = self._vocabulary(checkpoint)
        corpus = Corpus(options.train_path, self.vocabulary)
        self._dev = Corpus(options.test_path, self.vocabulary) if options.test_path else None
        if self._dev:
            self._dev.count()
        saved = checkpoint.training["state.json"] if checkpoint else {}
        self.tokens_per_epoch = saved.get("tokens_per_epoch") or self._count(corpus)
        rows = options.batch_size * options.gradient_accumulation * distributed.world_size()
        self.total_steps = self._total_steps(rows * options.num_steps)
        model = _new_model(options, self.vocabulary)
        self.trainer = Trainer(model, corpus, options, self.total_steps)
        self._interval = saved.get("interval") or {"nats": 0.0, "predictions": 0}
        self._checkpoint = source
        if checkpoint:
            self.trainer.restore(checkpoint, str(source))
            self.segmentation = checkpoint.segmentation
        else:
            self.segmentation = _segmentation_of(corpus)
        self._warn_of_segmentation(corpus)
        self._metrics = MetricsLog(self.folder, self.trainer.step) if self.is_first else None
        self._progress = Progress(self.total_steps, self.trainer.step, self.is_first)
        self._stop_signal = None

    def _start_folder(self, checkpoint):
        if not self.is_first:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--para_save_dir {self.folder}: {error.strerror}") from None
        if not checkpoint and list_checkpoints(self.folder):
            raise InputError(
                f"--para_save_dir {self.folder} holds checkpoints of an earlier run; "
                "add --resume to continue it, or choose another folder"
            )
        remove_leftovers(self.folder)

    def _vocabulary(self, checkpoint):
        path = self.options.vocab_path
        saved = checkpoint.vocabulary if checkpoint else None
        if saved is None and not path:
            raise InputError("--vocab_path is missing: give a vocabulary file")
        if saved is None:
            return Vocabulary.load(path)
        if path and Path(path).exists() and Vocabulary.load(path) != saved:
            raise InputError(f"--vocab_path {path} is not the vocabulary of the checkpoint")
        return saved

    def _count(self, corpus):
        size = sum(size for _, size in corpus.sizes())
        with tqdm(total=size, unit="B", unit_scale=True, desc="counting tokens",
                  disable=not (self.is_first and sys.stderr.isatty())) as bar:
            counts = corpus.count(bar.update)
        if self.is_first:
            _report_counts(corpus, counts, self.options)
        return counts.tokens

    def _total_steps(self, tokens_per_step):
        if self.tokens_per_epoch < tokens_per_step:
            raise InputError(
                f"--train_path {self.options.train_path}: {self.tokens_per_epoch} tokens are fewer "
                f"than one batch of {tokens_per_step}; lower --batch_size or --num_steps"
            )
        steps = math.ceil(self.options.max_epoch * self.tokens_per_epoch / tokens_per_step)
        return min(steps, self.options.max_steps or steps)

    def _warn_of_segmentation(self, corpus):
        for part in filter(None, (corpus, self._dev)):
            if self.is_first:
                warn_of_segmentation(self.segmentation, part)

    def train(self) -> None:
        """Train until the last step, the last epoch, or a signal to stop."""
        try:
            with self.trainer.batches() as batches, _stop_on_signal(self):
                self._start_time, self._start_tokens = time.monotonic(), self.trainer.tokens
                self._log_time, self._log_tokens = self._start_time, self._start_tokens
                self._train(batches)
        finally:
            self._progress.close()
            if self._metrics:
                self._metrics.close()

    def _train(self, batches):
        for prepared in batches if not self._is_done() else ():
            epochs_before = self._epochs_done()
            result = self._step(prepared)
            step = self.trainer.step
            self._interval["nats"] += result.nats
            self._interval["predictions"] += result.predictions
            self._progress.advance()
            if step % self.options.log_interval == 0:
                self._log(result)
            if step % self.options.dev_interval == 0:
                self._evaluate()
            if self._should_stop():
                self._save()
                self._say_how_to_resume()
                return
            epoch_ended = self._epochs_done() > epochs_before
            if step % self.options.save_interval == 0 or epoch_ended or self._is_done():
                self._save()
            if self._is_done():
                break
        self._finish()

    def _step(self, prepared):
        try:
            return self.trainer.train_step(prepared)
        except InputError as error:
            last = self._checkpoint or "none"
            raise InputError(f"{error}; last good checkpoint: {last}") from None

    def _is_done(self):
        limit = self.options.max_steps
        return self._epochs_done() >= self.options.max_epoch or 0 < limit <= self.trainer.step

    def _epochs_done(self):
        return self.trainer.tokens // self.tokens_per_epoch

    def _epoch(self):
        return self.trainer.tokens / self.tokens_per_epoch

    def _should_stop(self):
        return distributed.sum_numbers(float(self._stop_signal is not None))[0] > 0

    def request_stop(self, signal_number, _frame) -> None:
        """Signal handler: save after the present step and end."""
        self._stop_signal = signal_number

    def _log(self, result):
        now = time.monotonic()
        trainer, interval = self.trainer, self._interval
        loss = interval["nats"] / interval["predictions"]
        speed = (trainer.tokens - self._log_tokens) / max(now - self._log_time, 1e-9)
        figures = {
            "step": trainer.step,
            "epoch": self._epoch(),
            "loss": loss,
            "perplexity": perplexity_of(loss),
            "tokens": trainer.tokens,
            "tokens_per_second": speed,
            "learning_rate": result.learning_rate,
            "grad_norm": result.grad_norm,
        }
        if self._metrics:
            self._metrics.write(**figures)
        self._progress.say(self._log_line(figures, now))
        self._interval = {"nats": 0.0, "predictions": 0}
        self._log_time, self._log_tokens = now, trainer.tokens

    def _log_line(self, figures, now):
        trainer = self.trainer
        tokens_left = self.tokens_per_epoch * self.options.max_epoch - trainer.tokens
        if self.options.max_steps:
            steps_left = max(self.options.max_steps - trainer.step, 0)
            tokens_left = min(tokens_left, steps_left * trainer.rows * self.options.num_steps)
        speed = (trainer.tokens - self._start_tokens) / max(now - self._start_time, 1e-9)
        return (
            f"step {figures['step']}/{self.total_steps}  epoch {figures['epoch']:.2f}  "
            f"loss {figures['loss']:.4f}  perplexity {figures['perplexity']:.2f}  "
            f"{figures['tokens_per_second']:.0f} tokens/s  "
            f"ETA {format_duration(max(tokens_left, 0) / speed)}"
        )

    def _evaluate(self):
        if self._dev is None:
            return
        self._dev_step = self.trainer.step
        totals = evaluate(
            self.trainer.model,
            self._dev,
            self.options.batch_size,
            part=distributed.rank(),
            parts=distributed.world_size(),
        )
        directions = len(totals.nats)
        summed = distributed.sum_numbers(*totals.nats, *totals[1:])
        counts = (int(count) for count in summed[directions:])
        report = summarise(Totals(np.array(summed[:directions]), *counts))
        if self._metrics:
            self._metrics.write(
                event="dev",
                step=self.trainer.step,
                epoch=self._epoch(),
                loss=math.log(report["perplexity"]),
                perplexity=report["perplexity"],
                tokens=report["tokens"],
                oov_rate=report["oov_rate"],
            )
        self._progress.say(
            f"step {self.trainer.step}  dev perplexity {report['perplexity']:.2f}  "
            f"({report['sentences']} sentences, OOV rate {report['oov_rate']:.2%})"
        )
        self._log_time = time.monotonic()
        self._log_tokens = self.trainer.tokens

    def _save(self):
        packed = self.trainer.pack(
            self.vocabulary,
            self.segmentation,
            {
                "options": asdict(self.options),
                "epoch": self._epoch(),
                "tokens_per_epoch": self.tokens_per_epoch,
                "interval": self._interval,
            },
        )
        path = checkpoint_path(self.folder, self.trainer.step)
        if self.is_first and path != self._checkpoint:
            self._metrics.sync()
            try:
                save_checkpoint(path, packed)
                set_latest(self.folder, path)
            except InputError as error:
                last = self._checkpoint or "none"
                raise InputError(f"{error}; last checkpoint: {last}") from None
            remove_old_checkpoints(self.folder, self.options.keep, self.trainer.step)
        self._checkpoint = path

    def _finish(self):
        if self._checkpoint != self._path_now():
            self._save()
        if getattr(self, "_dev_step", None) != self.trainer.step:
            self._evaluate()
        self._progress.say(
            f"finished at step {self.trainer.step}, epoch {self._epoch():.2f}; "
            f"model: {self._checkpoint}"
        )

    def _path_now(self):
        return checkpoint_path(self.folder, self.trainer.step)

    def _say_how_to_resume(self):
        name = signal.Signals(self._stop_signal).name if self._stop_signal else "another process"
        run = shlex.quote(str(self.folder))
        self._progress.say(
            f"stopped by {name} at step {self.trainer.step}; saved {self._checkpoint}\n"
            f"to continue: bilm pretrain --resume --para_save_dir {run}"
        )


def _new_model(options, vocabulary):
    paddle.seed(options.random_seed)
    model = BiLM(options.model_config(vocabulary), lark_init=options.lark_init)
    path = options.load_pretraining_params
    if path:
        checkpoint = load_checkpoint(path)
        set_weights(model, checkpoint.weights, path)
        if checkpoint.vocabulary not in (None, vocabulary):
            raise InputError(
                f"{path}: its vocab.txt is not --vocab_path {options.vocab_path}: its rows belong "
                "to other words; pass the vocabulary that it was trained with"
            )
    model.train()
    return model


def _segmentation_of(corpus):
    return load_segmentation(corpus.shards[0].parent)


def _report_counts(corpus, counts, options):
    print(
        f"{len(corpus.shards)} shards, {counts.sentences} sentences, "
        f"{counts.tokens} tokens an epoch, {counts.blank_lines} blank lines skipped",
        flush=True,
    )
    if options.all_train_tokens not in (0, counts.tokens):
        warn(
            f"--all_train_tokens says {options.all_train_tokens}, counted are {counts.tokens}; "
            "the count is used"
        )


@contextmanager
def _stop_on_signal(run):
    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, run.request_stop) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
