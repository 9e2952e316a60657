"""How long a service takes from a cold process until it is ready: open, with the model loaded and warm.

Every process is a new one, in a folder without a gallery; files are in the page cache. Each round starts every process
once, in turn. The time ends with the answer to `/readyz`. Floor: 2 s.
"""

import http.client
import json
import subprocess
import sys
import tempfile
import time

from results import arguments, keep, repeated


def ready_after(*options: str) -> float:
    """Seconds until a service is ready; it is killed then."""
    command = [sys.executable, "-m", "samekind", "serve", "--port", "0", "--json", *options]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as process:
            try:
                assert process.stdout is not None
                port = int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
                connection = http.client.HTTPConnection("127.0.0.1", port)
                connection.request("GET", "/readyz")
                if (status := connection.getresponse().status) != 200:
                    raise SystemExit(f"said to be ready, but answers {status}")
                return time.perf_counter() - began
            finally:
                process.kill()


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle that decides")
    parser.add_argument("--rounds", type=int, default=9, help="how often each process is started")
    given = parser.parse_args()
    kinds = {"ready": ("--model", given.model), "ready_without_gallery": ("--model", given.model, "--no-gallery")}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for options in kinds.values():
        ready_after(*options)
    for _ in range(given.rounds):
        for name, options in kinds.items():
            seconds[name].append(ready_after(*options))
    summed = {name: repeated(values) for name, values in seconds.items()}
    keep(given.out, {"seconds": summed, "floors": {"ready": 2.0}})


if __name__ == "__main__":
    main()
