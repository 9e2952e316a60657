"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn once by 20 people.

Knows where the data set lies, how its archives are laid out and what is complete. Knows nothing of networks or trials.

Source: Lake, Salakhutdinov, Tenenbaum 2015, "Human-level concept learning through probabilistic program induction".
"""

import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import platformdirs

from samekind.data.download import download
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError, MissingDataError

BASE_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"


@dataclass(frozen=True)
class Archive:
    """One of the data set's archives, as its authors published it.

    Args:
        path: below the base URL; ends in its file name.
        sha256: digest of the published archive. One that somebody zipped anew may have another and is still read.
        images: how many images it holds.
    Source: the digests of the two image archives are those that TensorFlow Datasets checks against.
    """

    path: str
    sha256: str
    images: int

    @property
    def name(self) -> str:
        """What the archive and the folder unpacked from it are called."""
        return PurePosixPath(self.path).stem


BACKGROUND = Archive(
    "images_background.zip", "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640", 19_280
)
EVALUATION = Archive(
    "images_evaluation.zip", "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee", 13_180
)
RUNS = Archive(
    "one-shot-classification/all_runs.zip", "437c1eeab0af8484112e1b4cc0f3d541ec727f7c47b9b202da738af9dfd6c325", 800
)

SMALL_SETS = {
    "small1": ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin"),
    "small2": ("Greek", "Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"),
}
"""The two official small background sets: 136 characters (2,720 images) and 156 characters (3,120 images).

Source: the archives images_background_small1.zip and images_background_small2.zip of the public data set. The second
list was inferred: no other five background alphabets give an archive of its published 1,580,917 bytes.
"""

PARTS = ("background", "evaluation", "runs", "small1", "small2")


def load(part: str, *, data_dir: Path | None = None, base_url: str = BASE_URL) -> LabelledImages:
    """Load one part of Omniglot: PNG bytes, not decoded.

    Args:
        part: "background" (964 characters, to train on), "evaluation" (659 characters), "small1" or "small2" (five
            background alphabets each), or "runs": Lake's 20 one-shot runs, a class for each of their 400 characters,
            source 0 for the training image and 1 for the test image, the run as the group.
        data_dir: a folder with the archives or the trees unpacked from them. Where None, the folder that the
            environment variable SAMEKIND_DATA names, then the user's cache; else it is downloaded into that cache.
        base_url: where to download from.
    Returns:
        The images in the order of their names; groups are alphabets and sources are drawers 1 to 20, but for "runs".
    Raises:
        InputError: the part is unknown, or the data are damaged or incomplete.
        MissingDataError: they are not in data_dir, SAMEKIND_DATA names no folder, or they are nowhere and cannot be
            downloaded.
    """
    if part not in PARTS:
        raise InputError(f"expected a part of Omniglot ({', '.join(PARTS)}), got {part!r}")
    if part == "runs":
        return _runs(_find(RUNS, data_dir=data_dir, base_url=base_url))
    if part in SMALL_SETS:
        whole = load("background", data_dir=data_dir, base_url=base_url)
        groups = np.asarray(whole.groups)
        return replace(whole.take_classes(np.flatnonzero(np.isin(groups, SMALL_SETS[part]))), name=f"omniglot:{part}")
    archive = BACKGROUND if part == "background" else EVALUATION
    return _characters(f"omniglot:{part}", archive, _find(archive, data_dir=data_dir, base_url=base_url))


def cache_dir() -> Path:
    """The folder of the user's cache that downloads go to."""
    return platformdirs.user_cache_path("samekind") / "omniglot"


def _find(archive: Archive, *, data_dir: Path | None, base_url: str) -> Path:
    """The archive or the folder unpacked from it."""
    if data_dir is not None:
        found = _look_in(data_dir, archive)
        if found is None:
            raise MissingDataError(f"{data_dir}: expected {archive.name}.zip or the folder {archive.name} in it")
        return found
    places = [cache_dir()]
    if named := os.environ.get("SAMEKIND_DATA"):
        if not Path(named).is_dir():
            raise MissingDataError(f"SAMEKIND_DATA names {named}, but there is no such folder; mend or unset it")
        places.insert(0, Path(named))
    for place in places:
        found = _look_in(place, archive)
        if found is not None:
            return found
    path = cache_dir() / f"{archive.name}.zip"
    try:
        download(f"{base_url}/{archive.path}", path, sha256=archive.sha256)
    except MissingDataError as error:
        raise MissingDataError(
            f"Omniglot is not here: put {archive.name}.zip into a folder and name it by --data-dir or SAMEKIND_DATA,"
            f" or put it into {path.parent}; {error}"
        ) from None
    return path


def _look_in(folder: Path, archive: Archive) -> Path | None:
    zipped, tree = folder / f"{archive.name}.zip", folder / archive.name
    if zipped.is_file():
        return zipped
    if tree.is_dir():
        return tree
    if archive is RUNS and (folder / "run01").is_dir():
        return folder
    return None


def _characters(name: str, archive: Archive, place: Path) -> LabelledImages:
    files = {path: data for path, data in _read(place).items() if path.endswith(".png")}
    _expect(len(files) == archive.images, place, f"{archive.images} images, got {len(files)}")
    paths = sorted(files)
    of_image = [path.rpartition("/")[0] for path in paths]  # "Alphabet/characterNN"
    classes, labels = np.unique(np.asarray(of_image), return_inverse=True)
    drawers = [path.rpartition("_")[2].removesuffix(".png") for path in paths]
    _expect(all(d.isdecimal() for d in drawers), place, "names that end in _DD.png, DD the drawer")
    return LabelledImages(
        name=name,
        items=[files[path] for path in paths],
        names=tuple(paths),
        labels=labels.astype(np.int64),
        classes=tuple(str(c) for c in classes),
        groups=tuple(str(c).partition("/")[0] for c in classes),
        sources=np.asarray(drawers, dtype=np.int64),
        characters=True,
    )


def _runs(place: Path) -> LabelledImages:
    files = _read(place)
    tables = sorted(path for path in files if path.endswith("/class_labels.txt"))
    pairs = [line.split() for table in tables for line in files[table].decode().splitlines() if line.strip()]
    complete = all(len(pair) == 2 and pair[0] in files and pair[1] in files for pair in pairs)
    of_class = {training: test for test, training in pairs} if complete else {}
    got = f"{len(of_class)} pairs" if complete else "a pair without its images"
    _expect(2 * len(of_class) == RUNS.images, place, f"{RUNS.images // 2} pairs of a test and a training image, {got}")
    trainings = sorted(of_class)
    names = [path for training in trainings for path in (training, of_class[training])]
    return LabelledImages(
        name="omniglot:runs",
        items=[files[path] for path in names],
        names=tuple(names),
        labels=np.repeat(np.arange(len(trainings), dtype=np.int64), 2),
        classes=tuple(path.replace("/training/", "/").removesuffix(".png") for path in trainings),
        groups=tuple(path.partition("/")[0] for path in trainings),
        sources=np.tile(np.asarray([0, 1], dtype=np.int64), len(trainings)),
        characters=True,
    )


def _expect(holds: bool, place: Path, expected: str) -> None:
    if not holds:
        raise InputError(f"{place}: damaged or incomplete, expected {expected}; get it anew")


def _read(place: Path) -> Mapping[str, bytes]:
    """Every image and table, by the last three parts of its path: alphabet/character/image or run/kind/image."""
    try:
        if place.is_dir():
            found = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if _wanted(path)}
            return {name: path.read_bytes() for name, path in found.items()}
        with zipfile.ZipFile(place) as archive:
            wanted = [name for name in archive.namelist() if _wanted(PurePosixPath(name))]
            return {name.removeprefix(f"{place.stem}/"): archive.read(name) for name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{place}: a damaged archive ({error}); get it anew") from None
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror})") from None


def _wanted(path: PurePath) -> bool:
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts  # what archives made on a Mac carry along
    return not hidden and (path.suffix == ".png" or path.name == "class_labels.txt")
