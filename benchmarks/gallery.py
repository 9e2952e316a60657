"""How long a gallery in one file takes to open, to search and to forget, and how much memory it needs.

Random embeddings of 128 dimensions, one sample an identity, an untrained network of the shipped model's form. Each size
is measured in a process of its own that has one core: `open` reads all embeddings from the file into memory; `identify`
goes from the bytes of an image to the answer; `search` is that without image and network: all scores, the best of them
again by the model's own similarity, their names, probabilities, the decision; `cpu` beside them is processor time,
which other work on the machine lengthens less. Memory is what the process gained between the loaded model and the first
answer, over the bytes of the float32 matrix. Floors: at 100,000 samples `identify` within 15 ms and `open` within 1 s,
at 1,000,000 `identify` within 150 ms and 1.3 times the matrix in memory.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil

from results import Repeated, arguments, keep, repeated
from samekind import glyphs
from samekind.gallery.gallery import Gallery
from samekind.gallery.identification import Match, decide
from samekind.gallery.reembedding import model_of
from samekind.gallery.store import open_store
from samekind.gallery.transactions import now
from samekind.images import crop
from samekind.verifier import Verifier

DIM = 128
AT_ONCE = 20_000


def untrained(folder: Path) -> Path:
    """A bundle of a network as it is before training, with embeddings of DIM numbers."""
    from dataclasses import replace

    import torch

    from samekind.bundle import Provenance
    from samekind.encoders import build_encoder
    from samekind.export import Network, write_bundle
    from samekind.recipes import RECIPES
    from samekind.siamese import build_head

    recipe = replace(RECIPES["residual"], dim=DIM)
    size, channels = recipe.preprocessing.size, recipe.preprocessing.channels
    torch.manual_seed(0)
    encoder = build_encoder(recipe.encoder, size, channels, DIM).eval()
    network = Network(encoder, build_head("cosine", DIM), recipe.encoder, "cosine", DIM, recipe.preprocessing, 1)
    nowhere = Provenance("untrained", "none", "none", "none", 0, (), 0, "none", 0, 0, 0.0, "none", 0)
    return write_bundle(folder / "untrained", network, glyphs(60, 20), nowhere).path


def fill(place: Path, verifier: Verifier, identities: int) -> float:
    """Put random embeddings into a new gallery, quicker than by `enroll`; returns the seconds."""
    started, created, picture = time.perf_counter(), now(), crop(glyphs(1, 1)[0][0])
    store, rng = open_store(place, founding=model_of(verifier)), np.random.default_rng(0)
    for start in range(0, identities, AT_ONCE):
        count = min(AT_ONCE, identities - start)
        embeddings = rng.normal(size=(count, DIM)).astype("<f4")
        with store.writing() as rows:
            values = [
                {
                    "id": f"{start + at:032x}",  # in order, which fills the indices quickly
                    "name": f"identity {start + at:07}",
                    "digest": f"{start + at:064x}",
                    "created": created,
                    "revision": rows.revision,
                    "embedding": embeddings[at].tobytes(),
                    "png": picture,
                    "collection": rows.collection,
                }
                for at in range(count)
            ]
            for statement in (
                """INSERT INTO identity (collection, id, name, folded, metadata, created, samples, revision)
                   VALUES (:collection, :id, :name, :name, '{}', :created, 1, :revision)""",
                """INSERT INTO enrolment (id, identity, created)
                   SELECT :id, key, :created FROM identity WHERE id = :id""",
                """INSERT INTO sample (id, identity, enrolment, digest, created, embedding)
                   SELECT :id, identity, key, :digest, :created, :embedding FROM enrolment WHERE id = :id""",
                "INSERT INTO crop (sample, png) SELECT key, :png FROM sample WHERE id = :id",
            ):
                rows.engine.execute(statement, values)
            rows.changed = True
    store.close()
    return time.perf_counter() - started


def timed(call: Callable[[], object], rounds: int) -> dict[str, Repeated]:
    """Milliseconds by the clock and of the processor; the first call is not timed."""
    call()
    clock, processor = [], []
    for _ in range(rounds):
        started, began = time.perf_counter(), time.process_time()
        call()
        clock.append(1e3 * (time.perf_counter() - started))
        processor.append(1e3 * (time.process_time() - began))
    return {"clock": repeated(clock), "cpu": repeated(processor)}


def measure(place: Path, model: Path, *, rounds: int) -> dict[str, object]:
    """All figures of one gallery, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    verifier = Verifier.load(model, threads=1)
    stream = io.BytesIO()
    glyphs(1, 1, seed=9)[0][0].save(stream, "PNG")
    image = stream.getvalue()
    (query,) = verifier.embed([image])
    process, opened = psutil.Process(), []
    before, peak_before = process.memory_info().rss, peak()
    started = time.perf_counter()
    gallery = Gallery.open(place, verifier, create=False)
    opened.append(time.perf_counter() - started)
    found = gallery.identify(image)
    after, peak_after = process.memory_info().rss, peak()
    matrix = 4 * DIM * found.identities
    search, calibration = gallery.search, verifier.calibration

    def only_search() -> object:
        with gallery.store.reading() as rows:
            hits = search.search(rows, query, 5, calibration=calibration)
            named = dict(rows.by_keys(hits.keys))
        scores = dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))
        matches = [Match(one.id, one.name, scores[key], one.samples) for key, one in named.items()]
        return decide(calibration, matches, others=hits.others, identities=hits.identities)

    figures: dict[str, object] = {
        "identities": found.identities,
        "identify_ms": timed(lambda: gallery.identify(image), rounds),
        "search_ms": timed(only_search, rounds),
        "forward_pass_ms": timed(lambda: verifier.embed([image]), rounds),
        "resident_over_matrix": round((after - before) / matrix, 3),
        "peak_resident_over_matrix": round((peak_after - max(before, peak_before)) / matrix, 3),
        "arrays_over_matrix": round(search.nbytes / matrix, 3),
    }
    gallery.close()
    for _ in range(4):
        started = time.perf_counter()
        gallery = Gallery.open(place, verifier, create=False)
        opened.append(time.perf_counter() - started)
        gallery.close()
    figures["open_s"] = repeated(opened)
    with Gallery.open(place, verifier, create=False) as gallery:
        (first,) = gallery.identities(limit=1)
        started = time.perf_counter()
        gallery.remove(first.id)
        figures["remove_s"] = round(time.perf_counter() - started, 3)
    return figures


def peak() -> int:
    """Most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000], help="identities of each gallery")
    parser.add_argument("--rounds", type=int, default=50, help="searches timed")
    parser.add_argument("--measure", nargs=2, metavar=("GALLERY", "BUNDLE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        place, bundle = map(Path, given.measure)
        print(json.dumps(measure(place, bundle, rounds=given.rounds), default=asdict))
        return
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        model, place = untrained(Path(folder)), Path(folder) / "gallery.db"
        for size in given.sizes:
            seconds = fill(place, Verifier.load(model, threads=1), size)
            command = [sys.executable, str(Path(__file__)), "--rounds", str(given.rounds)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            done = subprocess.run(
                [*command, "--measure", str(place), str(model)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                env=environment,
            )
            megabytes = round(place.stat().st_size / 1e6)
            figures[f"{size:,}"] = {**json.loads(done.stdout), "file_mb": megabytes, "filled_s": round(seconds, 1)}
            place.unlink()
    figures["floors"] = {
        "identify_ms": {"100,000": 15, "1,000,000": 150},
        "open_s": {"100,000": 1},
        "resident_over_matrix": {"1,000,000": 1.3},
    }
    keep(given.out, figures)


if __name__ == "__main__":
    main()
