"""The whole comparison as one table for people and one plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.quality.free_tags import ADAPTED, OURS


def summary(report: Mapping[str, Any]) -> str:
    """Plain text: ours beside the best of the others, set by set."""
    lines = ["", "Free tags: F1@5 / F1@10, and their mean over the best other tagger's of the set"]
    ratios = []
    for name, taggers in report["free_tags"].items():
        ours = taggers[OURS]
        ratio, best = ratio_to_best(taggers, OURS)
        ratios.append(ratio)
        adapted = ""
        if ADAPTED in taggers:
            adapted = f"   adapted {_f1(taggers[ADAPTED])} x{ratio_to_best(taggers, ADAPTED)[0]:.2f}"
        lines.append(
            f"  {name:15s} {_f1(ours)}   best other {_f1(taggers[best])} ({best})   x{ratio:.2f}{adapted}"
        )
    lines.append(f"  mean x{sum(ratios) / len(ratios):.2f}, least x{min(ratios):.2f}")
    lines.append("Known vocabulary: micro F1 / macro F1")
    for name, systems in report["multilabel"].items():
        row = systems["classifier"]
        other = max((systems[key] for key in ("TF-IDF + LinearSVC", "TF-IDF kNN")), key=lambda s: s["micro_f1"])
        lines.append(
            f"  {name:20s} {row['micro_f1']:.3f} / {row['macro_f1']:.3f}   "
            f"best other {other['micro_f1']:.3f} / {other['macro_f1']:.3f}   ECE {row['ece']:.3f}"
        )
    lines.append("Merging: precision / recall / F1 of pairs, all clusters and automatic ones")
    for name, row in report["merging"]["sets"].items():
        parts = [f"{_prf(row[key])}" for key in ("clusters", "automatic")]
        lines.append(f"  {name:32s} {parts[0]}   automatic {parts[1]}")
    lines.append("Learning: F1 of assigned tags after so many corrections")
    for name, curve in report["learning"].items():
        points = "   ".join(f"{count}: {scores['f1']:.3f}" for count, scores in curve.items())
        lines.append(f"  {name:20s} {points}")
    return "\n".join(lines)


def ratio_to_best(taggers: Mapping[str, Mapping[str, float]], mine: str) -> tuple[float, str]:
    """Mean of F1@5 and F1@10, each over the best other tagger's, and the best other tagger by both."""
    others = {name: scores for name, scores in taggers.items() if name not in (OURS, ADAPTED)}
    ratios = [
        taggers[mine][key] / max(scores[key] for scores in others.values()) for key in ("f1_at_5", "f1_at_10")
    ]
    best = max(others, key=lambda name: others[name]["f1_at_5"] + others[name]["f1_at_10"])
    return sum(ratios) / 2, best


def plot(report: Mapping[str, Any], file: Path) -> None:
    """Bars of F1@5 by set and tagger, and the learning curves."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    sets = report["free_tags"]
    taggers = list(dict.fromkeys(name for scores in sets.values() for name in scores))
    figure, (bars, curves) = plt.subplots(1, 2, figsize=(16, 6), width_ratios=(3, 1), layout="constrained")
    width = 0.85 / len(taggers)
    for number, tagger in enumerate(taggers):
        places = [place + number * width for place, scores in enumerate(sets.values()) if tagger in scores]
        heights = [scores[tagger]["f1_at_5"] for scores in sets.values() if tagger in scores]
        bars.bar(
            places, heights, width, label=tagger, color=None if tagger not in (OURS, ADAPTED) else _ink(tagger)
        )
    bars.set_xticks([place + 0.4 for place in range(len(sets))], list(sets), rotation=30, ha="right")
    bars.set_ylabel("F1 of the first five tags")
    bars.legend(fontsize="small", ncols=3)
    for name, curve in report["learning"].items():
        curves.plot(list(curve), [scores["f1"] for scores in curve.values()], marker="o", label=name)
    curves.set_xlabel("corrections by a person")
    curves.set_ylabel("F1 of assigned tags")
    curves.legend(fontsize="small")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def _ink(tagger: str) -> str:
    return "black" if tagger == OURS else "dimgray"


def _f1(scores: Mapping[str, float]) -> str:
    return f"{scores['f1_at_5']:.3f} / {scores['f1_at_10']:.3f}"


def _prf(scores: Mapping[str, float]) -> str:
    return f"{scores['precision']:.2f} / {scores['recall']:.2f} / {scores['f1']:.2f}"
