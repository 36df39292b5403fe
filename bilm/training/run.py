"""The course of a training run: when to log, evaluate, save and stop."""

import os
import shlex
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Dict, Iterator, Optional

import numpy as np
import paddle

from bilm.errors import InputError, out_of_memory
from bilm.inference.perplexity import Totals, evaluate, perplexity_of, summarise
from bilm.storage.model_folder import save_checkpoint
from bilm.storage.runs import RunFolder, checkpoint_path
from bilm.training import distributed
from bilm.training.metrics import MetricsLog
from bilm.training.plan import Plan, read_checkpoint
from bilm.training.progress import Progress, Speed
from bilm.training.setup import Setup, set_up
from bilm.training.stop_request import StopRequest
from bilm.training.trainer import check_finite


class _Stopped(Exception):
    """Raised when a signal interrupts a long operation."""


class Run:
    """A training run, from its current step to the end or a stop signal.

    Args:
        setup: The parts of the run.
        quiet: Show results only, no progress.
    """

    def __init__(self, setup: Setup, quiet: bool = False):
        self.options = setup.options
        self.path = Path(setup.options.para_save_dir)
        self.trainer = setup.trainer
        self._setup = setup
        predictions, nats = (setup.interval[key] for key in ("predictions", "nats"))
        self._predictions, self._nats = predictions, paddle.to_tensor(nats, "float64")
        self._checkpoint = setup.source
        self._is_first = distributed.rank() == 0
        self._metrics = MetricsLog(self.path, self.trainer.step) if self._is_first else None
        self._progress = Progress(setup.total_steps, self.trainer.step, self._is_first, quiet)
        self._speed = Speed(self.trainer.tokens)
        self._stop = StopRequest()

    def train(self) -> Dict:
        """Train until the last step, the last epoch, or a signal to stop.

        Returns:
            "finished" (False if a signal stopped it), "step", "epoch", "model" (path of the last
            checkpoint), "train" and "dev" (the last such line in metrics.jsonl, or None; None on
            all processes but the first).

        Raises:
            InputError: Training cannot go on; the message names the last checkpoint.
        """
        try:
            with self.trainer.batches() as batches, self._stop:
                return self._figures(finished=self._train(batches))
        except (InputError, MemoryError, OSError) as error:  # Paddle's errors are OSErrors, too
            problem = out_of_memory(error) if isinstance(error, MemoryError) else error
            last = self._checkpoint or "none"
            raise InputError(f"{problem}; last good checkpoint: {last}") from None
        finally:
            self._progress.close()
            if self._metrics:
                self._metrics.close()

    def _figures(self, finished):
        train, dev = (self._metrics and self._metrics.last(event) for event in ("train", "dev"))
        return {
            "finished": finished, "step": self.trainer.step, "epoch": self._epoch(),
            "model": self._checkpoint and str(self._checkpoint), "train": train, "dev": dev,
        }

    def _train(self, batches) -> bool:
        """Train; return False if a signal stopped it before the end."""
        try:
            self._evaluate_if_due()  # a signal may have come before the last one was done
            for prepared in batches if not self._is_done() else ():
                self._do_step(prepared)
                if self._should_stop():
                    raise _Stopped
                self._evaluate_if_due()
                if self._is_done():
                    break
            self._finish()
            return True
        except _Stopped:
            self._save()
            self._tell_how_to_resume()
            return False

    def _do_step(self, prepared):
        epochs_before = self._epochs_done()
        result = self.trainer.train_step(prepared)
        step = self.trainer.step
        self._nats = self._nats + result.nats
        self._predictions += result.predictions
        self._progress.advance()
        if step % self.options.log_interval == 0:
            self._log(result)
        epoch_ended = self._epochs_done() > epochs_before
        if step % self.options.save_interval == 0 or epoch_ended or self._is_done():
            self._save()

    def _is_done(self):
        limit = self.options.max_steps
        return self._epochs_done() >= self.options.max_epoch or 0 < limit <= self.trainer.step

    def _epochs_done(self):
        return self.trainer.tokens // self._setup.tokens_per_epoch

    def _epoch(self):
        return self.trainer.tokens / self._setup.tokens_per_epoch

    def _should_stop(self):
        # on GPUs processes wait for each other no more often than for the log
        is_looked_at = self.trainer.waits or self.trainer.step % self.options.log_interval == 0
        if distributed.world_size() > 1 and not is_looked_at:
            return False
        return distributed.sum_numbers(float(bool(self._stop)))[0] > 0

    def _log(self, result):
        check_finite(self.trainer.step, self._nats)
        tokens, loss = self.trainer.tokens, self._nats.item() / self._predictions
        figures = {
            "step": self.trainer.step,
            "epoch": self._epoch(),
            "loss": loss,
            "perplexity": perplexity_of(loss),
            "tokens": tokens,
            "tokens_per_second": self._speed.lap(tokens),
            "learning_rate": result.learning_rate,
            "grad_norm": result.grad_norm.item(),
        }
        if self._metrics:
            self._metrics.write(**figures)
        time_left = self._speed.time_left(self.trainer.step, self._setup.total_steps, tokens)
        self._progress.log(figures, time_left)
        self._predictions, self._nats = 0, paddle.zeros([], "float64")

    def _evaluate_if_due(self):
        if self.trainer.step and self.trainer.step % self.options.dev_interval == 0:
            self._evaluate()

    def _evaluate(self):
        """Evaluate the dev text, once a step."""
        step = self.trainer.step
        done = self._metrics is not None and self._metrics.has_dev(step)
        if self._setup.dev is None or distributed.sum_numbers(float(done))[0]:
            return
        totals = evaluate(
            self.trainer.model,
            self._setup.dev,
            self.options.batch_size,
            progress=self._raise_if_stopped,
            first=distributed.rank(),
            stride=distributed.world_size(),
        )
        directions = len(totals.nats)
        summed = distributed.sum_numbers(*totals.nats, *totals[1:])
        counts = (int(count) for count in summed[directions:])
        totals = Totals(np.array(summed[:directions]), *counts)
        report = summarise(totals)
        if self._metrics:
            self._metrics.write(
                event="dev",
                step=step,
                epoch=self._epoch(),
                loss=float(totals.nats.sum()) / report["tokens"],
                perplexity=report["perplexity"],
                tokens=self.trainer.tokens,
                sentences=report["sentences"],
                oov_rate=report["oov_rate"],
            )
        self._progress.say(
            f"step {step}  dev perplexity {report['perplexity']:.2f}  "
            f"({report['sentences']} sentences, OOV rate {report['oov_rate']:.2%})"
        )
        self._speed.skip(self.trainer.tokens)

    def _raise_if_stopped(self, _num_sentences):
        # several processes have to agree, which they do between steps
        if self._stop and distributed.world_size() == 1:
            raise _Stopped

    def _save(self):
        path = checkpoint_path(self.path, self.trainer.step)
        if path == self._checkpoint:
            return
        check_finite(self.trainer.step, self._nats)
        state = self.trainer.lstm_state()  # of all processes
        if self._metrics and self._setup.folder:  # of the first process
            self._metrics.sync()
            save_checkpoint(path, self._packed(state))
            self._setup.folder.set_pointer(path)
            self._setup.folder.prune(self.options.keep, self.trainer.step)
        self._checkpoint = path

    def _packed(self, state):
        progress = {
            "options": asdict(self.options),
            "epoch": self._epoch(),
            "tokens_per_epoch": self._setup.tokens_per_epoch,
            "total_steps": self._setup.total_steps,
            "interval": {"nats": self._nats.item(), "predictions": self._predictions},
        }
        return self.trainer.pack(state, self._setup.vocabulary, self._setup.segmentation, progress)

    def _finish(self):
        if self.trainer.step:
            self._save()
        self._evaluate()
        self._progress.tell(
            f"finished at step {self.trainer.step}, epoch {self._epoch():.2f}; "
            f"model: {self._checkpoint}"
        )

    def _tell_how_to_resume(self):
        command = f"bilm pretrain --resume --para_save_dir {shlex.quote(str(self.path))}"
        if distributed.world_size() > 1 and "PADDLE_LOCAL_SIZE" not in os.environ:
            command = f"all processes as they were, with {command[len('bilm pretrain ') :]}"
        elif distributed.world_size() > 1:
            backend = " --backend gloo" if not self.options.use_gpu else ""
            local = int(os.environ["PADDLE_LOCAL_SIZE"])
            nodes = distributed.world_size() // local
            several = f" --master ... --nnodes {nodes}" if nodes > 1 else ""
            command = (
                f"python -m paddle.distributed.launch{backend}{several} --nproc_per_node {local} "
                f'"$(command -v bilm)" {command[len("bilm ") :]}'
            )
        self._progress.tell(
            f"stopped by {self._stop.name} at step {self.trainer.step}; saved {self._checkpoint}\n"
            f"to continue: {command}"
        )


def train(plan: Plan, quiet: bool = False) -> Dict:
    """Start or resume a run, and train to its end or to a signal to stop.

    Args:
        plan: The run.
        quiet: Show results only, no progress.

    Returns:
        As `Run.train` does.

    Raises:
        InputError: Another training holds the folder, something in the options or the text is
            wrong, or training cannot continue.
    """
    distributed.start(plan.use_gpu)
    with _held_folder(plan) as folder:
        checkpoint, source = None, None
        if plan.options is not None:
            options = plan.options
        else:
            options, checkpoint, source = read_checkpoint(plan)
        run = Run(set_up(options, folder, checkpoint, source, plan.pretrained, quiet), quiet)
        del checkpoint  # as large as the model and its optimiser's memory
        return run.train()


@contextmanager
def _held_folder(plan) -> Iterator[Optional[RunFolder]]:
    """Yield the run's folder, held by the first of several processes; None in the others.

    Raises:
        InputError: Another training holds the folder, or it holds another run. It is raised in
            all processes.
    """
    with ExitStack() as stack:
        folder, problem = None, None
        try:
            if distributed.rank() == 0:
                folder = RunFolder(plan.run, "--para_save_dir", make=not plan.continues_in_place)
                stack.enter_context(folder)
                if not plan.continues_in_place:
                    folder.check_unused()
        except InputError as error:
            problem = error
        distributed.raise_together(problem)
        yield folder
