"""The benefit of ELMo: taggers with and without it on several seeds, compared."""

import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from bilm.errors import InputError
from bilm.files import write_text_atomically
from bilm.randomness import random_for
from bilm.storage.run_folder import RunFolder, list_checkpoints
from lac.training.data import read_corpora
from lac.training.options import WITHOUT_EFFECT, TaggerOptions
from lac.training.outcome import Outcome, read_outcome
from lac.training.resume import Resumable, read_resumable
from lac.training.run import train_in
from lac.training.setup import Caches
from lac.word_scores import f1_of

_log = logging.getLogger("lac")

_DRAWS = 10_000


def ablate(
    options: TaggerOptions, num_seeds: int, quiet: bool = False, name: str = "lac ablate"
) -> Optional[Dict[str, Any]]:
    """Train with and without ELMo on some seeds each; report and return the comparison.

    Runs are folders SAVE_DIR/elmo_seed_0 and so on; those that are finished are not run again,
    and one that was stopped is continued. Seeds count from --random_seed.

    Args:
        options: Options of the runs with ELMo.
        num_seeds: Number of runs of each of the two.
        quiet: Whether to show results only.
        name: How the user asked for the ablation, for messages.

    Returns:
        See `compare`; None if a signal stopped it.

    Raises:
        InputError: There is no --elmo, or a run cannot be trained or belongs to other options.
    """
    if options.load_pretraining_params:
        raise InputError(f"{name} trains new taggers: leave --load_pretraining_params out")
    if options.elmo_path is None:
        raise InputError(f"{name} compares with ELMo: give --elmo")
    if num_seeds < 1:
        raise InputError(f"{name} needs at least one seed, not {num_seeds}")
    with RunFolder(options.save_dir, "--save_dir"):  # also between two runs
        outcomes = _outcomes(options, num_seeds, quiet)
        if outcomes is None:
            _log.info("to continue the ablation: the same command again")
            return None
        comparison = compare(outcomes["none"], outcomes["elmo"], options.random_seed)
        text = to_text(comparison)
        write_text_atomically(Path(options.save_dir) / "ablation.txt", text)
    _log.info(text.rstrip("\n"))
    return comparison


def _outcomes(
    options: TaggerOptions, num_seeds: int, quiet: bool
) -> Optional[Dict[str, List[Outcome]]]:
    """Return the results of the runs without and with ELMo; None if a signal stopped one."""
    outcomes: Dict[str, List[Outcome]] = {"none": [], "elmo": []}
    caches = Caches(quiet)
    for seed in range(options.random_seed, options.random_seed + num_seeds):
        for name in outcomes:
            run = Path(options.save_dir) / f"{name}_seed_{seed}"
            own = replace(options, save_dir=str(run), random_seed=seed)
            if name == "none":
                own = replace(own, elmo="none", finetune_elmo=False)
            if not quiet:
                _log.info(f"== {run}")
            with RunFolder(run, "--save_dir") as folder:
                outcome = _outcome(own, folder, caches, quiet)
            if outcome is None:
                return None
            outcomes[name].append(outcome)
    return outcomes


def _outcome(
    options: TaggerOptions, folder: RunFolder, caches: Caches, quiet: bool
) -> Optional[Outcome]:
    """Return the result of a run, trained now or before; None if a signal stopped it."""
    if not list_checkpoints(folder.path):
        return train_in(folder, options, caches=caches, quiet=quiet)
    checkpoint = read_resumable(folder)
    if "scored_from" not in checkpoint.state:
        raise InputError(
            f"{folder.path}: was made by an earlier version, which scored gold words: its figures "
            "cannot be compared with those from raw text; choose another --save_dir"
        )
    _check_data(options, checkpoint)
    _check_options(options, checkpoint)
    outcome = read_outcome(folder.path)
    return outcome or train_in(folder, options, checkpoint, caches, quiet)


def _check_data(options: TaggerOptions, checkpoint: Resumable) -> None:
    """Raise an InputError if data has changed since a checkpoint was written."""
    before = checkpoint.state["data"]
    now = read_corpora(options).checksums()
    changed = [name for name, checksum in now.items() if checksum != before.get(name)]
    if changed:
        raise InputError(
            f"{checkpoint.path}: was made with other data: {', '.join(changed)} data have changed; "
            "choose another --save_dir"
        )


def _check_options(options: TaggerOptions, checkpoint: Resumable) -> None:
    """Raise an InputError if a checkpoint was trained with other options."""
    conflicts = [
        f"--{name} is {value}, there {checkpoint.options.get(name)}"
        for name, value in asdict(options).items()
        if name not in WITHOUT_EFFECT and checkpoint.options.get(name) != value
    ]
    if conflicts:
        raise InputError(
            f"{checkpoint.path.parent}: belongs to another ablation: {'; '.join(conflicts)}; "
            "choose another --save_dir"
        )


def compare(
    without: Sequence[Outcome], with_elmo: Sequence[Outcome], seed: int = 0
) -> Dict[str, Any]:
    """Return mean F1 and deviation of both, and how likely their difference is by chance.

    The p-value is that of a paired approximate randomisation test over sentences: how often
    the mean F1 differ as much or more when each sentence's results of the two are exchanged with
    probability 1/2, in all seeds at once. The deviation is that of the sample (n - 1).

    Source: Yeh 2000, "More accurate tests for the statistical significance of result
    differences".

    Args:
        without: Results of the runs without ELMo, by seed.
        with_elmo: Results of those with ELMo, on the same seeds and data.
        seed: Seed of the exchanges.

    Returns:
        {"none": {"f1": [...], "mean": m, "deviation": s}, "elmo": ..., "difference": d,
        "error_reduction": share of the missing F1 that ELMo gains, "p_value": p,
        "data": "test" or "dev", "mixes": [...]}.
    """
    # (systems, seeds, sentences, counts)
    counts = np.array([[outcome.sentence_counts for outcome in side]
                       for side in (without, with_elmo)], np.int64)
    f1 = _f1(counts.sum(axis=2))  # (systems, seeds)
    difference = float(f1[1].mean() - f1[0].mean())
    random = random_for("ablation", seed)
    hits = 0
    gap = counts[1] - counts[0]
    totals = counts.sum(axis=2)  # (systems, seeds, counts)
    for _ in range(_DRAWS):
        moved = gap[:, random.random(counts.shape[2]) < 0.5].sum(axis=1)  # (seeds, counts)
        drawn = _f1(np.stack([totals[0] + moved, totals[1] - moved])).mean(axis=1)
        hits += abs(drawn[1] - drawn[0]) >= abs(difference) - 1e-12
    sides = {
        name: {
            "f1": values.tolist(),
            "mean": float(values.mean()),
            "deviation": float(values.std(ddof=1)) if len(values) > 1 else None,
        }
        for name, values in zip(("none", "elmo"), f1)
    }
    missing = 1 - sides["none"]["mean"]
    return {
        **sides,
        "difference": difference,
        "error_reduction": difference / missing if missing else 0.0,
        "p_value": (hits + 1) / (_DRAWS + 1),
        "data": "test" if without[0].test else "dev",
        "mixes": [outcome.mix for outcome in with_elmo],
    }


def _f1(totals: np.ndarray) -> np.ndarray:
    """Return F1 from counts (..., 3) of correct, predicted and expected spans."""
    flat = [f1_of(*(int(value) for value in row)) for row in totals.reshape(-1, 3)]
    return np.array(flat).reshape(totals.shape[:-1])


def to_text(comparison: Dict[str, Any]) -> str:
    """Return the result of `compare` as text for people."""
    lines = []
    for name, title in (("none", "without ELMo"), ("elmo", "with ELMo")):
        side = comparison[name]
        spread = "" if side["deviation"] is None else f" +- {side['deviation']:.2%}"
        each = ", ".join(f"{value:.2%}" for value in side["f1"])
        lines.append(f"{title:<13} {comparison['data']} F1 {side['mean']:.2%}{spread} ({each})")
    lines.append(
        f"difference {comparison['difference']:+.2%}: {comparison['error_reduction']:.1%} of the "
        f"errors; p = {comparison['p_value']:.4f} (paired approximate randomisation)"
    )
    for mix in comparison["mixes"]:
        shares = "/".join(f"{share:.2f}" for share in mix["shares"])
        lines.append(f"layers (token layer first) {shares}, gamma {mix['gamma']:.2f}")
    return "\n".join(lines) + "\n"
