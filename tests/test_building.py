"""From data to a bundle: the recipe fits the data, every argument counts, and an interruption changes nothing."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import TINY, Small
from samekind.augment import KOCH_WARP, Warp
from samekind.building import HELD_OUT, Built, build_bundle, choose_recipe
from samekind.bundle import WEIGHTS, Bundle, digest, load_bundle
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.data.splits import split_classes
from samekind.errors import InputError
from samekind.images import Preprocessing
from samekind.recipes import RECIPES, Budget
from samekind.training import Progress

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

BUILD = """
import resource, signal, sys
from pathlib import Path
from samekind.building import build_bundle, choose_recipe
from samekind.data.source import load
from samekind.errors import InputError
from samekind.recipes import Budget

data, out, steps, limit = sys.argv[1:]
if int(limit):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit),) * 2)
images = load(data).images
recipe = choose_recipe(images, size=16)
try:
    build_bundle(images, Path(out), recipe=recipe, budget=Budget(steps=int(steps)), checkpoint_seconds=0.5)
except InputError as error:
    sys.exit(f"refused: {error}")
"""
"""What `samekind train` does, but with a checkpoint twice a second."""


@dataclass(frozen=True)
class Told:
    """A building, and what was told while it went on."""

    built: Built
    lines: list[str]
    progress: list[Progress]


def build(data: LabelledImages, path: Path, *, steps: int = 2, seed: int = 3, loss: str = "supcon") -> Told:
    lines: list[str] = []
    progress: list[Progress] = []
    built = build_bundle(
        data,
        path,
        recipe=replace(TINY, loss=loss),
        budget=Budget(steps=steps),
        seed=seed,
        command="typed by hand",
        notify=lines.append,
        report=progress.append,
    )
    return Told(built, lines, progress)


@pytest.fixture(scope="module")
def told(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return build(small.train, tmp_path_factory.mktemp("building") / "model")


def photos(*, ground: int, classes: int = 4, each: int = 3) -> LabelledImages:
    """Bright or dark spots in the middle of an even ground."""
    labels = np.repeat(np.arange(classes), each)

    def draw(label: int) -> NDArray[np.uint8]:
        image = np.full((24, 24), ground, dtype=np.uint8)
        image[8:16, 8 : 10 + 2 * label] = 255 - ground
        return image

    return LabelledImages(
        name="photos",
        items=[draw(int(label)) for label in labels],
        names=tuple(f"{index}.png" for index in range(len(labels))),
        labels=labels.astype(np.int64),
        classes=tuple(f"class{label}" for label in range(classes)),
    )


@pytest.mark.parametrize(("ground", "invert"), [(10, False), (245, True)])
def test_the_ground_of_grey_photos_becomes_zero(ground: int, invert: bool) -> None:
    recipe = choose_recipe(photos(ground=ground))
    assert recipe.preprocessing == Preprocessing(size=32, invert=invert)
    assert not recipe.turns  # a part that is turned is the same part
    assert not recipe.mirrors
    assert recipe.chimeras == 0
    assert recipe.warp == Warp()  # whole images are warped more than framed ones
    corner = recipe.preprocessing(photos(ground=ground).items[0])[0, 0, 0]
    assert corner == pytest.approx(10 / 255)


def test_characters_are_inverted_and_turned() -> None:
    recipe = choose_recipe(glyphs(4, 4, seed=0))
    assert recipe.preprocessing.invert
    assert recipe.turns
    assert recipe.mirrors
    assert recipe.chimeras > 0
    assert recipe.preprocessing.frame > 0
    assert recipe.warp == RECIPES["small"].warp
    assert (recipe.encoder, recipe.loss, recipe.images) == ("small", "contrastive", 4)


def test_each_choice_reaches_the_recipe() -> None:
    data = photos(ground=10)
    assert choose_recipe(data, encoder="residual").dim == RECIPES["residual"].dim
    assert choose_recipe(data, encoder="koch").loss == "cross-entropy"
    assert choose_recipe(data, encoder="koch").warp == KOCH_WARP
    assert choose_recipe(data, encoder="timm:resnet18").encoder == "timm:resnet18"
    assert choose_recipe(data, loss="triplet").loss == "triplet"
    assert choose_recipe(data, size=64).preprocessing.size == 64
    assert choose_recipe(data, colour=True).preprocessing == Preprocessing.for_photos(32)
    assert choose_recipe(data).images == 3  # no more than the smallest class has


def test_a_choice_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="unknown encoder 'huge'; expected one of small"):
        choose_recipe(photos(ground=10), encoder="huge")
    with pytest.raises(InputError, match="colour"):
        choose_recipe(glyphs(4, 4, seed=0), colour=True)
    with pytest.raises(InputError, match="at least 8 pixels, got 0"):
        choose_recipe(photos(ground=10), size=0)


def test_a_bundle_says_where_it_comes_from(told: Told, small: Small) -> None:
    provenance = load_bundle(told.built.bundle.path).manifest.provenance
    assert (provenance.command, provenance.seed, provenance.steps) == ("typed by hand", 3, 2)
    assert (provenance.classes, provenance.images) == (36, 36 * 8)
    held_out = split_classes(small.train, HELD_OUT, rng=np.random.default_rng(3)).held_out
    assert provenance.held_out_classes == held_out.classes
    assert len(held_out.classes) == 4
    assert (provenance.data, provenance.data_fingerprint) == (small.train.name, small.train.fingerprint)
    assert (provenance.loss, provenance.images_seen) == ("supcon", 2 * TINY.classes * TINY.images)
    assert told.built.steps == 2
    assert told.built.images_per_second == pytest.approx(provenance.images_seen / told.built.seconds)
    calibration = load_bundle(told.built.bundle.path).manifest.calibration
    assert calibration is not None
    assert calibration.classes == 4


def test_it_tells_what_it_does(told: Told) -> None:
    assert "288 images of 36 classes; 4 held out" in told.lines
    assert [progress.steps for progress in told.progress] == [1, 2]
    assert told.progress[-1].loss == told.built.loss
    assert [path.name for path in told.built.bundle.path.parent.iterdir()] == ["model"]


def test_the_same_seed_and_steps_give_the_same_weights(told: Told, small: Small, tmp_path: Path) -> None:
    def weights(seed: int) -> str:
        return digest(build(small.train, tmp_path / "model", seed=seed).built.bundle.path / WEIGHTS)

    assert weights(seed=3) == digest(told.built.bundle.path / WEIGHTS)
    assert weights(seed=4) != digest(told.built.bundle.path / WEIGHTS)


def test_few_classes_still_give_two_for_the_threshold(small: Small, tmp_path: Path) -> None:
    four = small.train.take_classes(np.arange(4))
    manifest = build(four, tmp_path / "model", steps=20).built.bundle.manifest
    assert (manifest.provenance.classes, len(manifest.provenance.held_out_classes)) == (2, 2)
    with pytest.raises(InputError, match=r"four classes, .*; got 3"):
        build(small.train.take_classes(np.arange(3)), tmp_path / "other")


def test_one_file_in_two_classes_is_refused_wherever_the_split_puts_them(small: Small, tmp_path: Path) -> None:
    doubled = replace(small.train, items=[*small.train.items[:-1], small.train.items[0]])
    for seed in range(3):
        with pytest.raises(InputError) as caught:
            build(doubled, tmp_path / "model", seed=seed)
        assert small.train.names[0] in str(caught.value)
        assert small.train.names[-1] in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_images_that_nearly_agree_are_named(small: Small, tmp_path: Path) -> None:
    original, items = np.asarray(small.train[0][0]), list(small.train.items)
    for label in range(len(small.train.classes)):  # one drawing in every class, each time a little darker
        items[int(np.flatnonzero(small.train.labels == label)[0])] = original - np.minimum(original, label)
    (line,) = (
        line for line in build(replace(small.train, items=items), tmp_path / "model").lines if "nearly the same" in line
    )
    assert small.train.names[0] in line
    assert "and 27 more" in line  # of each of 4 held-out drawings the eight closest, less the five that are named


def test_a_loss_that_is_unknown_is_refused_before_an_image_is_read(tmp_path: Path) -> None:
    missing = replace(photos(ground=10), items=[tmp_path / "missing.png"] * 12)
    with pytest.raises(InputError, match="unknown loss 'none'"):
        build(missing, tmp_path / "model", loss="none")


@pytest.mark.parametrize(("encoder", "size", "says"), [("huge", 16, "unknown encoder 'huge'"), ("small", 24, "got 24")])
def test_an_encoder_that_cannot_be_built_is_refused_before_an_image_is_read(
    tmp_path: Path, encoder: str, size: int, says: str
) -> None:
    missing = replace(photos(ground=10), items=[tmp_path / "missing.png"] * 12)
    recipe = replace(TINY, encoder=encoder, preprocessing=Preprocessing(size=size))
    with pytest.raises(InputError, match=says):
        build_bundle(missing, tmp_path / "model", recipe=recipe, budget=Budget(steps=1))


def test_a_poor_class_that_lowers_the_images_of_a_batch_is_named() -> None:
    lines: list[str] = []
    data = photos(ground=10)  # three images a class
    assert choose_recipe(data.take(np.arange(1, 12)), notify=lines.append).images == 2
    assert lines == ["class0 has 2 images only, so batches hold 2 images a class and not 4"]
    choose_recipe(photos(ground=10, each=4), notify=lines.append)
    assert len(lines) == 1


def test_a_threshold_that_rests_on_few_classes_is_named(told: Told, small: Small, tmp_path: Path) -> None:
    assert any("the threshold rests on 4 classes only" in line for line in told.lines)
    many = glyphs(100, 4, seed=5)
    lines = build(many, tmp_path / "model", steps=20).lines
    assert "360 images of 90 classes; 10 held out" in lines
    assert not any("the threshold rests" in line for line in lines)


def test_a_place_that_cannot_be_written_is_refused_before_training(
    bundle: Bundle, small: Small, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(bundle.path)
    for place in (tmp_path, tmp_path / "file", tmp_path / "file" / "model", tmp_path / "link", Path("/proc/no/model")):
        with pytest.raises(InputError, match=str(place)):
            build_bundle(
                small.train,
                place,
                recipe=TINY,
                budget=Budget(steps=1),
                report=lambda progress: pytest.fail("trained"),
            )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_a_checkpoint_is_not_thrown_away_without_a_word(told: Told, small: Small, tmp_path: Path) -> None:
    assert not any("resume" in line for line in told.lines)
    (tmp_path / "model.checkpoint").write_bytes(b"of an interrupted training")
    lines = build(small.train, tmp_path / "model").lines
    assert any("will be replaced; only `samekind train --resume` goes on" in line for line in lines)


def test_resuming_without_a_checkpoint_says_so(small: Small, tmp_path: Path) -> None:
    lines: list[str] = []

    def resume() -> None:
        path, budget = tmp_path / "model", Budget(steps=1)
        build_bundle(small.train, path, recipe=TINY, budget=budget, resume=True, notify=lines.append)

    resume()
    assert any("no such file to resume from" in line for line in lines)
    (tmp_path / "model.checkpoint").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"model\.checkpoint: not a checkpoint"):
        resume()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty classes of four generated characters, one sub-folder each."""
    path = tmp_path_factory.mktemp("data") / "parts"
    data = glyphs(20, 4, seed=2)
    for index in range(len(data)):
        image, label = data[index]
        place = path / data.classes[label].replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"{index}.png")
    return path


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    steps = "120"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    checkpoint = tmp_path / "killed.checkpoint"
    build = [sys.executable, "-c", BUILD, str(folder), str(killed), steps, "0"]
    with subprocess.Popen(build, env=ENVIRONMENT) as training:
        for _ in range(1200):
            if checkpoint.exists() or training.poll() is not None:
                break
            time.sleep(0.05)
        training.send_signal(signal.SIGKILL)
    assert training.returncode == -signal.SIGKILL, "it was done before it could be killed"
    assert checkpoint.exists()
    assert not killed.exists()

    def train(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "samekind", "train", str(folder), "--out", str(out), "--steps", steps]
        command += ["--size", "16", *options]
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    other = train(killed, "--resume", "--seed", "1")  # the checkpoint is read: it is of another seed
    assert other.returncode == 2
    assert f"samekind: {checkpoint}: of a training with other data, settings, seed" in other.stderr
    resumed = train(killed, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "begins anew" not in resumed.stderr
    assert train(whole).returncode == 0
    assert digest(killed / WEIGHTS) == digest(whole / WEIGHTS)
    assert load_bundle(killed).manifest.provenance.images_seen == load_bundle(whole).manifest.provenance.images_seen
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "whole"]


@pytest.mark.slow
def test_a_full_disk_while_a_checkpoint_is_written_stops_the_training(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD, str(folder), str(tmp_path / "model"), "2000", "100000"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"refused: {tmp_path / 'model.checkpoint'}: the checkpoint cannot be written (File")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
