"""Images of one's own: a folder with one sub-folder a class, or a CSV.

Knows how classes are laid out on disk and which images cannot be read. Knows nothing of models or decisions.
"""

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samekind.data.labelled import LabelledImages
from samekind.errors import ImageError, InputError, MissingDataError
from samekind.images import open_image

SHOWN = 8
"""How many names of classes or files an error lists before it says how many more there are."""

NOT_DATA = frozenset({"Thumbs.db", "desktop.ini", "__MACOSX"})
"""What file managers leave in folders, besides names that start with a dot."""


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be read, and why.

    Args:
        name: its path below the folder, or as the CSV gives it.
        reason: what is wrong with it.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """A data set, and the images that were left out of it because they cannot be read."""

    images: LabelledImages
    bad: tuple[BadImage, ...] = ()

    @property
    def summary(self) -> str:
        """One line that names every image left out, and why; empty where there is none."""
        return _summary(self.bad, len(self.bad) + len(self.images)) if self.bad else ""


@dataclass(frozen=True)
class _Entry:
    path: Path
    name: str
    label: str
    group: str | None


def load_folder(path: Path, *, on_bad_image: str = "skip", min_images: int = 2) -> Loaded:
    """Load a folder with one sub-folder a class, or a folder of such folders, each of them a group.

    Every image is decoded once, to know that it can be. Hidden files are left aside.

    Args:
        path: the folder.
        on_bad_image: "skip" goes on without images that cannot be read, "error" refuses the data set.
        min_images: how many readable images a class must have; >= 1. A genuine pair needs two.
    Returns:
        The images in the order of their names, and those left out. A class of a group is called "group/class".
    Raises:
        InputError: it is no folder, images lie at different depths, there are fewer than two classes, a class has too
            few images, or an image cannot be read and on_bad_image is "error".
        MissingDataError: there is no such folder.
    """
    return _load(str(path), _entries(path), on_bad_image=on_bad_image, min_images=min_images)


def images_of(path: Path) -> dict[str, tuple[Path, ...]]:
    """The files of each class of a folder, none of them opened.

    Args:
        path: the folder, laid out as `load_folder` takes it; one class is enough.
    Returns:
        By name of the class, in the order of names.
    Raises:
        InputError, MissingDataError: as `load_folder`.
    """
    found: dict[str, list[Path]] = {}
    for entry in _entries(path):
        found.setdefault(entry.label, []).append(entry.path)
    return {label: tuple(paths) for label, paths in found.items()}


def _entries(path: Path) -> list[_Entry]:
    if not path.exists():
        raise MissingDataError(f"{path}: no such folder; expected one sub-folder a class")
    if not path.is_dir():
        raise InputError(f"{path}: a file; expected a folder with one sub-folder a class")
    folders, files = _list(path)
    if not folders:
        raise InputError(f"{path}: expected one sub-folder a class, got {len(files)} files and no folder")
    inner = {folder: _list(folder) for folder in folders}
    deep = [folder for folder in folders if inner[folder][0]]
    if files or (deep and any(inner[folder][1] or not inner[folder][0] for folder in folders)):
        odd = files[0] if files else next(f for f in folders if inner[f][1] or not inner[f][0])
        raise InputError(
            f"{path}: images at different depths, or a folder without any ({odd.relative_to(path)});"
            " expected class/image throughout, or group/class/image throughout"
        )
    if deep:
        inner = {folder: _list(folder) for group in folders for folder in inner[group][0]}
    deeper = [folder for folder in inner if inner[folder][0]]
    if deeper:
        raise InputError(
            f"{deeper[0].relative_to(path)}: folders below a class; expected class/image or group/class/image"
        )
    empty = [str(folder.relative_to(path)) for folder, (_, images) in inner.items() if not images]
    if empty:
        raise InputError(f"{path}: empty classes: {_some(empty)}; fill or remove them")
    return [
        _Entry(
            path=image,
            name=image.relative_to(path).as_posix(),
            label=folder.relative_to(path).as_posix(),
            group=folder.parent.name if deep else None,
        )
        for folder, (_, images) in inner.items()
        for image in images
    ]


def load_csv(path: Path, *, on_bad_image: str = "skip", min_images: int = 2) -> Loaded:
    """Load the images that a CSV lists in the columns path, label and, if there are groups, group.

    Every image is decoded once, to know that it can be. Paths are relative to the folder of the CSV.

    Args:
        path: the CSV: UTF-8, commas, the names of the columns in its first line.
        on_bad_image: "skip" goes on without images that cannot be read, "error" refuses the data set.
        min_images: how many readable images a class must have; >= 1. A genuine pair needs two.
    Returns:
        The images in the order of their names, and those left out. A class of a group is called "group/label".
    Raises:
        InputError: it is no such CSV, lists an image twice, has fewer than two classes or too few images of a class,
            or an image cannot be read and on_bad_image is "error".
        MissingDataError: there is no such CSV, or an image that it lists does not exist.
    """
    entries = []
    lines: dict[str, int] = {}
    for line, row in _rows(path):
        name, label, group = row["path"], row["label"], row.get("group")
        if name in lines:
            raise InputError(f"{path}: lines {lines[name]} and {line} list the same image {name}; remove one")
        lines[name] = line
        whole = label if group is None else f"{group}/{label}"
        entries.append(_Entry(path=path.parent / name, name=name, label=whole, group=group))
    missing = [entry.name for entry in entries if not entry.path.exists()]
    if missing:
        raise MissingDataError(
            f"{path}: lists images that do not exist: {_some(missing)}; paths start at {path.parent}"
        )
    return _load(str(path), entries, on_bad_image=on_bad_image, min_images=min_images)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their line numbers; every cell is there and filled."""
    if path.is_dir():
        raise InputError(f"{path}: a folder; expected a CSV with the columns path,label[,group]")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            if sorted(columns) not in (["label", "path"], ["group", "label", "path"]):
                got = ",".join(columns)[:80]
                raise InputError(f"{path}: expected the columns path,label[,group] in the first line, got {got!r}")
            rows = [(reader.line_num, dict(row)) for row in reader]
    except FileNotFoundError:
        raise MissingDataError(f"{path}: no such file; expected a CSV with the columns path,label[,group]") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV in UTF-8 ({error})") from None
    for line, row in rows:
        if set(row) != set(columns) or not all(row.values()):
            raise InputError(f"{path}: line {line}: expected a value for each of {','.join(columns)}")
    return rows


def _load(name: str, entries: Sequence[_Entry], *, on_bad_image: str, min_images: int) -> Loaded:
    if on_bad_image not in ("skip", "error"):
        raise InputError(f"expected 'skip' or 'error' for bad images, got {on_bad_image!r}")
    if min_images < 1:
        raise InputError(f"expected at least 1 image a class, got {min_images}")
    entries = sorted(entries, key=lambda entry: (entry.label, entry.name))
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside of the interpreter lock
        reasons = list(pool.map(_why_bad, [entry.path for entry in entries]))
    bad = tuple(BadImage(e.name, reason) for e, reason in zip(entries, reasons, strict=True) if reason)
    if bad and on_bad_image == "error":
        raise InputError(f"{name}: {_summary(bad, len(entries))}")
    good = [entry for entry, reason in zip(entries, reasons, strict=True) if not reason]
    groups = {entry.label: entry.group for entry in entries}
    classes = sorted(groups)
    position = {label: index for index, label in enumerate(classes)}
    labels = np.asarray([position[entry.label] for entry in good], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{label} ({count})" for label, count in zip(classes, counts, strict=True) if count < min_images]
    if few:
        need = "two are needed to form a genuine pair" if min_images == 2 else f"{min_images} are needed"
        left_out = f"; {_summary(bad, len(entries))}" if bad else ""
        raise InputError(f"{name}: classes with too few readable images: {_some(few)}; {need}{left_out}")
    if len(classes) < 2:
        raise InputError(f"{name}: expected images of at least two classes, got {len(classes)}")
    images = LabelledImages(
        name=name,
        items=[entry.path for entry in good],
        names=tuple(entry.name for entry in good),
        labels=labels,
        classes=tuple(classes),
        groups=None if groups[classes[0]] is None else tuple(str(groups[label]) for label in classes),
    )
    return Loaded(images, bad)


def _why_bad(path: Path) -> str:
    """Why an image cannot be read; empty where it can."""
    if not path.is_file():
        return "not a file"  # a broken link, or a pipe that would never end
    try:
        # all bytes are decoded, but a JPEG to few pixels: several times faster
        open_image(path, draft=("RGB", (16, 16)))
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders and files in a folder, sorted, without what is hidden."""
    try:
        entries = sorted(e for e in folder.iterdir() if not e.name.startswith(".") and e.name not in NOT_DATA)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror})") from None
    return [e for e in entries if e.is_dir()], [e for e in entries if not e.is_dir()]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _summary(bad: Sequence[BadImage], total: int) -> str:
    listed = "; ".join(f"{image.name}: {image.reason}" for image in bad)
    return f"{len(bad)} of {total} images cannot be read: {listed}"
