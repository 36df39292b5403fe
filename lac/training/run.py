"""The course of a tagger's training: when to log, evaluate, save and stop."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Optional

from bilm.network.model import BiLM
from bilm.storage.pretrained import open_model
from bilm.storage.run_folder import BEST, RunFolder, checkpoint_path, latest_checkpoint
from bilm.storage.side_files import read_side_files
from bilm.storage.tensors import set_weights
from bilm.training.metrics import MetricsLog
from bilm.training.progress import Progress, Speed
from bilm.training.stop_request import StopRequest
from lac.evaluate import score, texts_of
from lac.model_folder import ELMO_FOLDER, STATE_FILE, read_tagger, write_tagger
from lac.pretrained import own_weights, set_own_weights
from lac.training.options import TaggerOptions
from lac.training.outcome import Outcome, write_outcome
from lac.training.resume import Resumable
from lac.training.setup import Caches, Setup, set_up
from lac.word_scores import WordScores


class TaggerRun:
    """A run from its trainer's step to its end, or to a signal to stop.

    Args:
        setup: The parts of the run.
        quiet: Whether to show results only.
    """

    def __init__(self, setup: Setup, quiet: bool = False):
        self.options, self.trainer = setup.options, setup.trainer
        self.path = Path(setup.options.save_dir)
        self._setup = setup
        state = setup.state
        self._best: Dict[str, Any] = {"f1": -1.0, "step": 0}
        self._stale = 0  # evaluations since the best one
        if "scored_from" in state:  # earlier versions scored gold words
            self._best, self._stale = state["best"], state["stale"]
        # step of the last evaluation; one that left no best step has to be repeated
        self._evaluated = state.get("evaluated", 0) if self._best["step"] else 0
        self._interval = state.get("interval", {"nats": 0.0, "sentences": 0})
        self._tokens = state.get("tokens", 0)
        self._analyser = setup.analyser
        total = self._total_steps()
        self._metrics = MetricsLog(self.path, self.trainer.step)
        self._progress = Progress(total, self.trainer.step, quiet=quiet)
        self._speed = Speed(self._tokens)
        self._stop = StopRequest()

    def train(self) -> Optional[Outcome]:
        """Train until the dev F1 stops rising, the last epoch, or a signal to stop.

        Returns:
            The result; None if a signal stopped the run.

        Raises:
            InputError: Training cannot go on.
        """
        try:
            with self._stop:
                while True:
                    if self._is_evaluation_due():
                        self._evaluate()
                        self._save()
                    if self._is_done():
                        return self._finish()
                    self._do_step()
                    if self._stop:
                        self._save()
                        self._tell_how_to_resume()
                        return None
        finally:
            self._progress.close()
            self._metrics.close()

    def _total_steps(self) -> int:
        steps = self.options.max_epochs * self.trainer.steps_per_epoch
        return min(steps, self.options.max_steps or steps)

    def _is_done(self) -> bool:
        has_ended = self.trainer.step >= self._total_steps()
        is_evaluated = self._evaluated == self.trainer.step
        return is_evaluated and (has_ended or self._stale >= self.options.patience)

    def _is_evaluation_due(self) -> bool:
        step = self.trainer.step
        interval = self.options.eval_interval or self.trainer.steps_per_epoch
        return self._evaluated != step and (step % interval == 0 or step >= self._total_steps())

    def _do_step(self) -> None:
        result = self.trainer.train_step()
        self._tokens += result.tokens
        self._interval["nats"] += result.nats
        self._interval["sentences"] += result.sentences
        self._progress.advance()
        if self.trainer.step % self.options.log_interval == 0:
            self._log()

    def _log(self) -> None:
        step = self.trainer.step
        figures = {
            "step": step,
            "epoch": self.trainer.epoch,
            "loss": self._interval["nats"] / self._interval["sentences"],
            "tokens": self._tokens,
            "tokens_per_second": self._speed.lap(self._tokens),
        }
        self._metrics.write(**figures)
        time_left = self._speed.time_left(step, self._total_steps(), self._tokens)
        self._progress.log(figures, f"{time_left} at most")
        self._interval = {"nats": 0.0, "sentences": 0}

    def _evaluate(self) -> None:
        step = self.trainer.step
        report = self._score_dev().report()
        is_best = report["f1"] > self._best["f1"]
        if is_best:
            self._best, self._stale = {"f1": report["f1"], "step": step}, 0
        else:
            self._stale += 1
        self._evaluated = step
        mix = self._mix()
        figures = {name: report[name] for name in ("precision", "recall", "f1")}
        self._metrics.write(
            event="dev", step=step, epoch=self.trainer.epoch, **figures,
            word_f1=report["words"]["f1"],
            unknown_word_recall=(report["unknown_words"] or {}).get("recall"),
            **({"mix": mix} if mix else {}),
        )
        layers = f"  layers {_mix_text(mix)}" if mix else ""
        self._progress.say(
            f"step {step}  epoch {self.trainer.epoch:.2f}  dev F1 {report['f1']:.2%}  "
            f"(words {report['words']['f1']:.2%})  precision {report['precision']:.2%}  "
            f"recall {report['recall']:.2%}{layers}"
            + ("  (best)" if is_best else "")
        )
        self._speed.skip(self._tokens)

    def _score_dev(self) -> WordScores:
        setup = self._setup
        self._analyser.predictor.update()
        return score(
            self._analyser, setup.corpora.dev, setup.dev_texts,
            training_words=setup.stored.training_words, cache=setup.dev_cache,
        )

    def _mix(self) -> Optional[Dict[str, Any]]:
        elmo = self.trainer.tagger.elmo
        if elmo is None:
            return None
        shares, gamma = elmo.mix_weights()[0]
        return {"shares": [round(float(share), 6) for share in shares], "gamma": gamma}

    def _save(self) -> None:
        step = self.trainer.step
        path = checkpoint_path(self.path, step)
        tagger = self.trainer.tagger
        mixes = None if tagger.elmo is None else tagger.elmo.to_mixes()
        if self.options.finetune_elmo and tagger.elmo is not None:
            self._save_bilm(tagger.elmo.bilm)
        state = {
            "options": asdict(self.options), "step": step, "best": self._best,
            "stale": self._stale, "scored_from": "raw text", "evaluated": self._evaluated,
            "interval": self._interval, "tokens": self._tokens, "data": self._setup.data,
        }
        self._metrics.sync()
        write_tagger(
            path, self._setup.stored._replace(weights=own_weights(tagger)), mixes,
            {STATE_FILE: state, **self.trainer.pack()},
        )
        best = self._best_path()
        if best == path:
            self._setup.folder.set_pointer(path, BEST)
        self._setup.folder.set_pointer(path)
        self._setup.folder.prune(self.options.keep, step, spared=best)

    def _best_path(self) -> Optional[Path]:
        """Return the best checkpoint; before the first evaluation what RUN/best names, or None."""
        if self._best["step"]:
            return checkpoint_path(self.path, self._best["step"])
        return latest_checkpoint(self.path, BEST) if (self.path / BEST).is_file() else None

    def _save_bilm(self, bilm: BiLM) -> None:
        """Write the tuned biLM again; earlier checkpoints keep their own files of it."""
        about = read_side_files(self.path / ELMO_FOLDER)
        bilm.save_pretrained(self.path / ELMO_FOLDER, about.vocabulary, about.segmentation)

    def _finish(self) -> Outcome:
        """Score the best checkpoint, and write RUN/result.json."""
        path = checkpoint_path(self.path, self._best["step"])
        best = read_tagger(path)
        tagger = self.trainer.tagger
        if self.options.finetune_elmo and tagger.elmo is not None and best.elmo is not None:
            set_weights(tagger.elmo.bilm, open_model(best.elmo).tensors, str(best.elmo))
        set_own_weights(tagger, best.weights, str(path))
        scores = self._score_dev()
        dev, test = scores.report(), None
        corpus = self._setup.corpora.test
        if corpus is not None:
            texts = self._analyser.cut_texts(texts_of(corpus))
            known = self._setup.stored.training_words
            scores = score(self._analyser, corpus, texts, training_words=known)
            test = scores.report()
        outcome = Outcome(
            self._best["step"], self.trainer.epoch, dev, test,
            [list(counts) for counts in scores.sentences], self._mix(),
        )
        write_outcome(self.path, outcome)
        test_f1 = f", test F1 {test['f1']:.2%}" if test else ""
        self._progress.tell(
            f"finished at epoch {self.trainer.epoch:.2f}; best dev F1 {dev['f1']:.2%}{test_f1}; "
            f"model: {path}"
        )
        return outcome

    def _tell_how_to_resume(self) -> None:
        self._progress.tell(
            f"stopped by {self._stop.name} at step {self.trainer.step}; saved "
            f"{checkpoint_path(self.path, self.trainer.step)}\n"
            f"to continue: lac train --resume --save_dir {shlex.quote(str(self.path))}"
        )


def _mix_text(mix: Dict[str, Any]) -> str:
    return "/".join(f"{share:.2f}" for share in mix["shares"]) + f" x {mix['gamma']:.2f}"


def train(
    options: TaggerOptions, caches: Optional[Caches] = None, quiet: bool = False
) -> Optional[Outcome]:
    """Train a new tagger in the folder options.save_dir.

    Args:
        options: The options.
        caches: ELMo's layers, to share with other runs.
        quiet: Whether to show results only.

    Returns:
        The result; None if a signal stopped it.

    Raises:
        InputError: The options or the data are wrong, or training cannot go on.
    """
    with RunFolder(options.save_dir, "--save_dir") as folder:
        folder.check_unused()
        return train_in(folder, options, caches=caches, quiet=quiet)


def train_in(
    folder: RunFolder,
    options: TaggerOptions,
    checkpoint: Optional[Resumable] = None,
    caches: Optional[Caches] = None,
    quiet: bool = False,
) -> Optional[Outcome]:
    """Train a tagger in a run's folder that is held already, from the start or a checkpoint.

    Args:
        folder: The folder options.save_dir.
        options: The options.
        checkpoint: Checkpoint to continue from; None starts a new run.
        caches: ELMo's layers, to share with other runs.
        quiet: Whether to show results only.

    Returns:
        The result; None if a signal stopped it.

    Raises:
        InputError: The options or the data are wrong, or training cannot go on.
    """
    caches = caches or Caches(quiet)
    return TaggerRun(set_up(options, folder, checkpoint, caches), quiet).train()
