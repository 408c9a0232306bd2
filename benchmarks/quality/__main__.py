"""The whole comparison in one run: `make quality DATA=DIR`.

    python -m benchmarks.quality --data DIR [--limit N] [--out FOLDER]

Free tags, known vocabulary, merging and learning curves on every labelled set in DIR, ours beside what a user
could pick instead. Writes quality.json and quality.png into FOLDER. About 25 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.quality import free_tags, learning, merging, multilabel
from benchmarks.quality.report import plot, summary


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=free_tags.LIMIT, help="texts a set of free tags")
    parser.add_argument("--out", type=Path, default=Path())
    arguments = parser.parse_args()
    report = {"free_tags": free_tags.measure(arguments.data, arguments.limit)}
    for name, part in (("merging", merging), ("multilabel", multilabel), ("learning", learning)):
        print(f"{name} ...", flush=True)
        report[name] = part.measure(arguments.data)
    (arguments.out / "quality.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(report, arguments.out / "quality.png")
    print(summary(report))


if __name__ == "__main__":
    main()
