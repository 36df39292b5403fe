"""How far a run is and how fast: speed, time left, log lines or a progress bar."""

import sys
import time

from tqdm import tqdm


class Speed:
    """Tokens per second, since the last log line and over all of them.

    Args:
        tokens: Tokens done before.
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
        """Start a new lap: what has passed, such as an evaluation, does not count."""
        self._start, self._done = time.monotonic(), tokens

    def average(self) -> float:
        """Return the speed over all laps, of which there must be one."""
        return self._tokens / self._seconds

    def time_left(self, step: int, total: int, tokens: int) -> str:
        """Return how long the steps after `step` will take, as h:mm:ss.

        Args:
            step: Steps done, at least one.
            total: Steps in all; fewer than `step` count as none left.
            tokens: Tokens of the steps that are done.
        """
        return format_duration(max(0, total - step) * tokens / step / self.average())


class Progress:
    """A bar on a terminal, plain lines elsewhere.

    Args:
        total: Steps in all.
        done: Steps done before.
        enabled: False on all processes but one.
        quiet: Show results only.
    """

    def __init__(self, total: int, done: int, enabled: bool = True, quiet: bool = False):
        self._total, self._enabled, self._quiet = total, enabled, quiet
        self._bar = None
        if enabled and not quiet and sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)

    def advance(self) -> None:
        """Count one step as done."""
        if self._bar:
            self._bar.update()

    def log(self, figures: dict, time_left: str) -> None:
        """Print the figures of a training line in metrics.jsonl.

        Args:
            figures: With step, epoch, loss, tokens_per_second and, where there is one, perplexity.
            time_left: Shown after "ETA".
        """
        perplexity = figures.get("perplexity")
        told = "" if perplexity is None else f"  perplexity {perplexity:.2f}"
        self.say(
            f"step {figures['step']}/{self._total}  epoch {figures['epoch']:.2f}  "
            f"loss {figures['loss']:.4f}{told}  {figures['tokens_per_second']:.0f} tokens/s  "
            f"ETA {time_left}"
        )

    def say(self, text: str) -> None:
        """Print one line of progress without disturbing the bar."""
        if not self._quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Print a result, which is shown even if progress is not."""
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
