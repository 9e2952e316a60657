"""Run the benchmarks one after the other, each as a process of its own, with what it measures by default.

From quick to long: all of them take about an hour and a half on two cores, which should have nothing else to do.
"""

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS: dict[str, str] = {
    "cold_start": "seconds from a cold process to a decision",
    "embedding_speed": "images embedded a second on one core, against PyTorch",
    "service_start": "seconds until a service is ready",
    "service_load": "what a service can do, and what it does when asked for more",
    "training_throughput": "share of the processor's arithmetic that training uses",
    "installed_size": "megabytes on disk without extras",
    "certification": "whether certified false match rates hold, and what they cost",
    "trust": "probabilities, abstention and their intervals",
    "explain": "whether the maps of `samekind explain` are faithful",
    "audit": "planted wrong labels found by `samekind audit`",
    "gallery": "milliseconds to search a gallery, seconds to open it, memory",
    "gallery_faults": "what a gallery's file survives: kills, several processes at once",
    "guard": "planted wrong samples that the enrolment guard finds",
    "identification": "searches of galleries: strangers found, and what is stated",
    "postgres": "a gallery in PostgreSQL: recall and time of its index",
    "bundle_figures": "every protocol on the shipped bundle",
    "demo_figures": "what the demo reaches, three seeds",
    "experiment": "one recipe on held-out background alphabets",
    "record": "the record attempt: an ensemble",
    "peer": "what five minutes give with pytorch-metric-learning",
    "speedrun": "minutes to each published line, beside pytorch-metric-learning",
}
"""By name of the script: what it measures."""


def main() -> None:
    listed = "\n".join(f"  {name:<20} {what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), epilog=listed, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS), help="run only these")
    failed = []
    for name in parser.parse_args().only:
        print(f"{name}: {BENCHMARKS[name]}", file=sys.stderr, flush=True)
        if subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=False).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
