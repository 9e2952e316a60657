"""What a gallery's file survives: processes killed while they enroll, and several processes at once.

Kills: a process enrolls by `Gallery.enroll`, removes some of those again, and is killed by SIGKILL at a random moment,
often while it makes the file or writes it anew. After each kill the file is checked: every sample that was acknowledged
is there with its picture and embedding, no enrolment is there in part, nothing that was removed is back, and SQLite's
integrity check passes. Crowd: two processes enroll into the same identities, often the same images, while a third
identifies. Floors: no sample lost, halved or doubled, no error.
"""

import argparse
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from results import arguments, keep
from samekind import glyphs
from samekind.gallery.examination import problems
from samekind.gallery.gallery import Gallery
from samekind.gallery.reembedding import everybody
from samekind.gallery.store import open_store
from samekind.images import crop
from samekind.verifier import Verifier

PICTURES = 48
PER_FILE = 25
"""Rounds after which a new file is begun: then the making of a file is killed too."""

LONGEST = 0.08
"""Seconds that a process has left after it began, at most; a quarter of it after something that it has done."""


@dataclass
class Story:
    """What a process said that it did: sample by digest with the number of its picture, and identities by name."""

    enrolled: dict[str, int] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    going: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    searches: int = 0

    def hear(self, words: list[str]) -> None:
        """Take up what a worker says."""
        word, *rest = words
        if word == "enrolled":
            for sample in rest[1:]:
                digest, _, number = sample.partition("=")
                self.enrolled[f"{rest[0]}/{digest}"] = int(number)
        elif word == "removing":
            self.going.add(rest[0])
        elif word == "removed":
            self.removed.add(rest[0])
        elif word == "searched":
            self.searches += 1
        elif word == "error":
            self.errors.append(" ".join(rest))


class Nursery:
    """A process that has imported everything and forks a worker each time it is asked to.

    Args:
        model: the bundle, by name or folder.
    """

    def __init__(self, model: str) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--nursery", model]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def begin(self, story: Story, **task: object) -> int:
        """Start a worker; returns its process id once it is ready to begin."""
        self._stdin.write(json.dumps(task) + "\n")
        self._stdin.flush()
        while (words := self._words())[0] != "ready":
            story.hear(words)
        return int(words[1])

    def listen(self, story: Story, *, workers: int = 1) -> None:
        """Take up what the workers say until all of them have ended, however they ended."""
        while workers:
            words = self._words()
            workers -= words[0] == "ended"
            story.hear(words)

    def follow(self, story: Story, *, deeds: int) -> bool:
        """Take up what one worker says until it has done so much; whether it is still there."""
        while deeds:
            words = self._words()
            story.hear(words)
            if words[0] == "ended":
                return False
            deeds -= words[0] in ("enrolled", "removed")
        return True

    def _words(self) -> list[str]:
        if not (line := self._stdout.readline()):
            raise SystemExit("the nursery died")
        return line.rstrip("\n").split(" ")

    def close(self) -> None:
        self._stdin.close()
        self._process.wait(timeout=30)
        self._stdout.close()


def nursery(model: str) -> None:
    """Fork a worker for each line of standard input; tell when it ended."""
    pictures = drawn()
    children: set[int] = set()
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.close(0)
                work(task, Verifier.load(model, threads=1), pictures)  # here: its threads would not survive a fork
                code = 0
            except BaseException as error:
                tell("error", type(error).__name__, *str(error).split())
            finally:
                os._exit(code)
        children.add(child)
        if len(children) == task["of"]:
            while children:
                ended, _ = os.waitpid(-1, 0)
                children.discard(ended)
                tell("ended", str(ended))


def tell(*words: str) -> None:
    """A line to the parent, whole, though several write to the same pipe."""
    os.write(1, (" ".join(words) + "\n").encode())


def work(task: dict[str, object], verifier: Verifier, pictures: list[bytes]) -> None:
    """What a worker does until it is killed or its time is up."""
    place, seed = Path(str(task["place"])), int(str(task["seed"]))
    rng = np.random.default_rng(seed)
    tell("ready", str(os.getpid()))
    kind, until = task["kind"], time.monotonic() + float(str(task["seconds"]))
    with Gallery.open(place, verifier) as gallery:
        if kind == "alone":
            alone(gallery, pictures, rng, seed)
        while time.monotonic() < until:
            if kind == "enroll":
                together(gallery, pictures, rng)
            else:
                found = gallery.identify(unique(pictures, int(rng.integers(PICTURES)), b"query"))
                tell("searched", str(found.identities))


def alone(gallery: Gallery, pictures: list[bytes], rng: np.random.Generator, seed: int) -> None:
    """Enroll new identities of one to three images, and remove one now and then."""
    own: list[tuple[str, str]] = []
    for number in range(10_000):
        numbers = rng.integers(PICTURES, size=int(rng.integers(1, 4))).tolist()
        name = f"{seed}-{number}-of-{len(numbers)}"
        images = [unique(pictures, n, f"{name}/{at}".encode()) for at, n in enumerate(numbers)]
        done = gallery.enroll(name, images)
        own.append((name, done.identity.id))
        pairs = zip(done.samples, numbers, strict=True)
        tell("enrolled", name, *(f"{sample.digest}={n}" for sample, n in pairs))
        if rng.random() < 0.15:
            gone, id = own.pop(int(rng.integers(len(own))))
            tell("removing", gone)
            gallery.remove(id)
            tell("removed", gone)


def together(gallery: Gallery, pictures: list[bytes], rng: np.random.Generator) -> None:
    """Enroll images that another process may enroll too, into an identity that it may know too."""
    name, n, copy = f"shared-{rng.integers(20)}", int(rng.integers(PICTURES)), int(rng.integers(40))
    done = gallery.enroll(name, [unique(pictures, n, f"{name}/{copy}".encode())])
    for sample in done.samples:
        tell("enrolled", name, f"{sample.digest}={n}")


def drawn() -> list[bytes]:
    """PNG files of characters."""
    pictures = []
    data = glyphs(PICTURES, 1, seed=5)
    for number in range(PICTURES):
        stream = io.BytesIO()
        data[number][0].save(stream, "PNG")
        pictures.append(stream.getvalue())
    return pictures


def unique(pictures: list[bytes], number: int, mark: bytes) -> bytes:
    """A picture as a file of its own: what follows a PNG is not looked at."""
    return pictures[number] + mark


class Truth:
    """What each picture becomes in a gallery."""

    def __init__(self, model: str) -> None:
        crops = [crop(picture) for picture in drawn()]
        self.crops = {hashlib.sha256(one).hexdigest(): number for number, one in enumerate(crops)}
        self.embeddings: NDArray[np.float32] = Verifier.load(model, threads=1).embed(crops)


def faults_of(place: Path, story: Story, truth: Truth, *, alone: bool) -> list[str]:
    """What is wrong with a file, given what was acknowledged."""
    if not place.exists():
        return ["acknowledged, but there is no file"] if story.enrolled else []
    found: list[str] = []
    there: dict[str, int] = {}
    with closing(open_store(place)) as store:
        found += problems(store)
        with store.reading() as rows:
            for identity in everybody(rows):
                samples = rows.contents(identity.id)
                if alone and len(samples) != int(identity.name.rpartition("-")[2]):
                    found.append(f"{identity.name} has {len(samples)} samples")
                if identity.name in story.removed:
                    found.append(f"{identity.name} was removed and is back")
                for sample in samples:
                    key = f"{identity.name}/{sample.digest}"
                    number = truth.crops.get(hashlib.sha256(sample.crop).hexdigest(), -1)
                    if key in there:
                        found.append(f"{key} is there twice")
                    if number < 0 or not np.array_equal(truth.embeddings[number], sample.embedding):
                        found.append(f"{key} has another picture or embedding")
                    there[key] = number
    for key, number in story.enrolled.items():
        name = key.partition("/")[0]
        if name not in story.going and there.get(key) != number:
            found.append(f"{key} was acknowledged and is lost")
    return found


def kills(rounds: int, model: str, folder: Path, *, seed: int) -> dict[str, object]:
    """Kill a process at a random moment, so many times."""
    rng, truth = np.random.default_rng(seed), Truth(model)
    faults: list[str] = []
    total, removed, unmade, halves = 0, 0, 0, 0
    story, place = Story(), folder / "none"
    with closing(Nursery(model)) as workers:
        for number in range(rounds):
            if number % PER_FILE == 0:
                total, removed = total + len(story.enrolled), removed + len(story.removed)
                story, place = Story(), folder / f"{number}.db"
            pid = workers.begin(story, kind="alone", place=str(place), seed=number, seconds=60, of=1)
            deeds = int(rng.integers(0, 6))  # 0: while the file is made or opened
            if workers.follow(story, deeds=deeds):
                time.sleep(float(rng.uniform(0, LONGEST if deeds == 0 else LONGEST / 4)))
                os.kill(pid, signal.SIGKILL)
                workers.listen(story)
            halves += Path(f"{place}-wal").exists()
            unmade += not place.exists()
            faults += [f"round {number}: {fault}" for fault in faults_of(place, story, truth, alone=True)]
            faults += [f"round {number}: {error}" for error in story.errors]
            story.errors.clear()
    return {
        "rounds": rounds,
        "samples_acknowledged": total + len(story.enrolled),
        "identities_removed": removed + len(story.removed),
        "killed_before_the_file_was_made": unmade,
        "killed_with_a_log_to_recover": halves,
        "faults": faults[:20],
        "faults_in_all": len(faults),
    }


def crowd(seconds: float, model: str, folder: Path) -> dict[str, object]:
    """Two enroll, one identifies."""
    truth, story, place = Truth(model), Story(), folder / "crowd.db"
    started = time.monotonic()
    with closing(Nursery(model)) as workers:
        for number, kind in enumerate(("enroll", "enroll", "identify")):
            workers.begin(story, kind=kind, place=str(place), seed=number, seconds=seconds, of=3)
        workers.listen(story, workers=3)
    faults = faults_of(place, story, truth, alone=False)
    with closing(open_store(place)) as store, store.reading() as rows:
        held = rows.counts().samples
    if held != len(story.enrolled):
        faults.append(f"{held} samples are there, {len(story.enrolled)} were acknowledged")
    return {
        "seconds": round(time.monotonic() - started, 1),
        "samples_acknowledged": len(story.enrolled),
        "searches": story.searches,
        "errors": story.errors[:20],
        "faults": faults[:20],
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--rounds", type=int, default=1_000, help="processes killed")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long several processes work at once")
    parser.add_argument("--model", default="omniglot", help="bundle that embeds")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--nursery", metavar="BUNDLE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.nursery is not None:
        nursery(given.nursery)
        return
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        if given.rounds:
            figures["kills"] = kills(given.rounds, given.model, Path(folder), seed=given.seed)
        if given.seconds:
            figures["crowd"] = crowd(given.seconds, given.model, Path(folder))
    figures["floors"] = {"faults": 0, "errors": 0}
    keep(given.out, figures)


if __name__ == "__main__":
    main()
