"""Progress of a run: speed, remaining time, log lines or a progress bar."""

import sys
import time

from tqdm import tqdm


class Speed:
    """Tokens per second, since the last log line and over the whole run.

    Args:
        tokens: Tokens that earlier runs have processed.
    """

    def __init__(self, tokens: int):
        self._seconds, self._tokens = 0.0, 0
        self.skip(tokens)

    def lap(self, tokens: int) -> float:
        """Return the speed since the last lap, and start a new one."""
        seconds, done = max(time.monotonic() - self._start, 1e-9), tokens - self._done
        self._seconds, self._tokens = self._seconds + seconds, self._tokens + done
        self.skip(tokens)
        return done / seconds

    def skip(self, tokens: int) -> None:
        """Start a new lap without counting the time since the last one, such as an evaluation."""
        self._start, self._done = time.monotonic(), tokens

    def average(self) -> float:
        """Return the speed over all laps; at least one must have ended."""
        return self._tokens / self._seconds

    def time_left(self, step: int, total: int, tokens: int) -> str:
        """Return the estimated time for the steps after `step`, as h:mm:ss.

        Args:
            step: Number of finished steps, at least one.
            total: Number of all steps.
            tokens: Tokens of the finished steps.
        """
        return format_duration(max(0, total - step) * tokens / step / self.average())


class Progress:
    """A bar on a terminal, plain lines elsewhere.

    Args:
        total: Number of all steps.
        done: Number of steps that earlier runs have finished.
        enabled: Whether to show anything; False on all processes but one.
        quiet: Whether to show results only.
    """

    def __init__(self, total: int, done: int, enabled: bool = True, quiet: bool = False):
        self._total, self._enabled, self._quiet = total, enabled, quiet
        self._bar = None
        if enabled and not quiet and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """Count one more finished step."""
        if self._bar:
            self._bar.update()

    def log(self, figures: dict, time_left: str) -> None:
        """Print the figures of a training line in metrics.jsonl.

        Args:
            figures: step, epoch, loss, tokens_per_second and, optionally, perplexity.
            time_left: Shown after "ETA".
        """
        perplexity = figures.get("perplexity")
        shown = "" if perplexity is None else f"  perplexity {perplexity:.2f}"
        self.say(
            f"step {figures['step']}/{self._total}  epoch {figures['epoch']:.2f}  "
            f"loss {figures['loss']:.4f}{shown}  {figures['tokens_per_second']:.0f} tokens/s  "
            f"ETA {time_left}"
        )

    def say(self, text: str) -> None:
        """Print a line of progress above the bar, unless quiet."""
        if not self._quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Print a result above the bar, also when quiet."""
        if self._bar:
            self._bar.write(text)
        elif self._enabled:
            print(text, flush=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar:
            self._bar.close()


def format_duration(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
