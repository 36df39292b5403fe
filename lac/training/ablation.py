"""What ELMo is worth: taggers with and without it on several seeds, compared."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from bilm.errors import InputError
from bilm.files import write_text_atomically
from bilm.randomness import random_for
from bilm.storage.runs import RunFolder, list_checkpoints
from lac.commands.train import read_resumable, train_in
from lac.model_folder import STATE_FILE
from lac.span_scores import f1_of
from lac.training.options import WITHOUT_EFFECT, TaggerOptions
from lac.training.outcome import Outcome, read_outcome
from lac.training.setup import Caches, check_data

_DRAWS = 10_000


def ablate(options: TaggerOptions, num_seeds: int, quiet: bool = False) -> Optional[Dict]:
    """Train with and without ELMo on some seeds each; print and return the comparison.

    Runs are folders SAVE_DIR/elmo_seed_0 and so on; those that are finished are not run again,
    and one that was stopped goes on. Seeds count from --random_seed.

    Args:
        options: Of the runs with ELMo.
        num_seeds: Runs of each of the two.
        quiet: Show results only, no progress.

    Returns:
        See `compare`; None if a signal stopped it.

    Raises:
        InputError: There is no --elmo, or a run cannot be trained or belongs to other options.
    """
    if options.elmo_path is None:
        raise InputError("--ablation compares with ELMo: give --elmo")
    if options.load_pretraining_params:
        raise InputError("--ablation trains new taggers: leave --load_pretraining_params out")
    if num_seeds < 1:
        raise InputError(f"--ablation must be at least 1, not {num_seeds}")
    with RunFolder(options.save_dir, "--save_dir"):  # also between two runs
        outcomes = _outcomes(options, num_seeds, quiet)
        if outcomes is None:
            print("to continue the ablation: the same command again", flush=True)
            return None
        comparison = compare(outcomes["none"], outcomes["elmo"], options.random_seed)
        text = to_text(comparison)
        write_text_atomically(Path(options.save_dir) / "ablation.txt", text)
    print(text, end="")
    return comparison


def _outcomes(options, num_seeds, quiet) -> Optional[Dict[str, List[Outcome]]]:
    """Return how the runs without and with ELMo ended, by seed; None if a signal stopped one."""
    outcomes: Dict[str, List[Outcome]] = {"none": [], "elmo": []}
    caches = Caches(quiet)
    for seed in range(options.random_seed, options.random_seed + num_seeds):
        for name in outcomes:
            run = Path(options.save_dir) / f"{name}_seed_{seed}"
            own = replace(
                options, save_dir=str(run), random_seed=seed,
                **({"elmo": "none", "finetune_elmo": False} if name == "none" else {}),
            )
            if not quiet:
                print(f"== {run}", flush=True)
            with RunFolder(run, "--save_dir") as folder:
                outcome = _outcome(own, folder, caches, quiet)
            if outcome is None:
                return None
            outcomes[name].append(outcome)
    return outcomes


def _outcome(options, folder, caches, quiet) -> Optional[Outcome]:
    """Return how a run ended, trained now or before; None if a signal stopped it."""
    if not list_checkpoints(folder.path):
        return train_in(folder, options, caches=caches, quiet=quiet)
    source, saved, training = read_resumable(folder)
    check_data(options, training[STATE_FILE], source)
    wanted = asdict(options)
    conflicts = [
        f"--{name} is {wanted[name]}, there {saved.get(name)}"
        for name in wanted
        if name not in WITHOUT_EFFECT and saved.get(name) != wanted[name]
    ]
    if conflicts:
        raise InputError(
            f"{folder.path}: belongs to another ablation: {'; '.join(conflicts)}; choose another "
            "--save_dir"
        )
    outcome = read_outcome(folder.path)
    return outcome or train_in(folder, options, source, training, caches, quiet)


def compare(without: Sequence[Outcome], with_elmo: Sequence[Outcome], seed: int = 0) -> Dict:
    """Return mean F1 and deviation of both, and how likely their difference is by chance.

    The p-value is that of a paired approximate randomisation test over sentences: how often
    the mean F1 differ as much or more when each sentence's results of the two are exchanged with
    probability 1/2, in all seeds at once. The deviation is that of the sample (n - 1).

    Source: Yeh 2000, "More accurate tests for the statistical significance of result
    differences".

    Args:
        without: Outcomes by seed.
        with_elmo: Outcomes of the same seeds on the same data.
        seed: Of the exchanges.

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


def _f1(totals):
    """Return F1 of counts (..., 3): correct, found, wanted."""
    flat = [f1_of(*(int(value) for value in row)) for row in totals.reshape(-1, 3)]
    return np.array(flat).reshape(totals.shape[:-1])


def to_text(comparison: Dict) -> str:
    """Return a comparison as lines for people."""
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
