"""The figures of `WordScores.report` as a table for people."""

from typing import Any, Dict, List, Optional


def report_lines(report: Dict[str, Any]) -> List[str]:
    """Return the lines of the table.

    A row for each type; "all" has the words with tags, and "words" the borders of all words. A
    line on the words that training did not have follows if they are known.
    """
    lines = [f"{'type':<12} {'precision':>9} {'recall':>9} {'F1':>9} {'words':>8}"]
    total = {**report, "support": sum(kind["support"] for kind in report["types"].values())}
    borders = {**report["words"], "support": report["tokens"]}
    for name, row in [*report["types"].items(), ("all", total), ("words", borders)]:
        figures = " ".join(f"{row[key]:>9.2%}" for key in ("precision", "recall", "f1"))
        lines.append(f"{name:<12} {figures} {row['support']:>8}")
    unknown = report["unknown_words"]
    if unknown is not None:
        figures = ", ".join(
            f"{name} {_percent(unknown[key])}" for name, key in (
                ("precision", "precision"), ("recall", "recall"), ("F1", "f1"),
                ("recall with tags", "tagged_recall"),
            )
        )
        lines.append(f"words that training did not have: {unknown['support']} "
                     f"({_percent(unknown['rate'])}); {figures}")
    return lines


def _percent(rate: Optional[float]) -> str:
    return "-" if rate is None else f"{rate:.2%}"
