"""Folders and CSVs of images: what loads, what is left out, what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.data.folder import images_of, load_csv, load_folder
from samekind.errors import InputError, MissingDataError, SamekindError


def draw(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((10, 12), value, dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Two classes of two images, with what file managers leave."""
    root = tmp_path / "animals"
    for number, name in enumerate(["cat/1.png", "cat/2.PNG", "Übung macht/ö 1.jpg", "Übung macht/2.JPEG"]):
        draw(root / name, 50 * number)
    for name in (".DS_Store", "cat/Thumbs.db", "cat/.hidden.png", "__MACOSX/x.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_sub_folders_are_classes(animals: Path) -> None:
    loaded = load_folder(animals)
    data = loaded.images
    assert loaded.bad == ()
    assert loaded.summary == ""
    assert data.classes == ("cat", "Übung macht")
    assert data.names == ("cat/1.png", "cat/2.PNG", "Übung macht/2.JPEG", "Übung macht/ö 1.jpg")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.groups is None
    assert not data.characters
    assert data.name == str(animals)
    assert int(np.asarray(data[1][0])[0, 0]) == 50


def test_files_are_listed_unopened(animals: Path) -> None:
    (animals / "cat" / "broken.png").write_bytes(b"x")
    found = images_of(animals)
    assert {name: [path.name for path in paths] for name, paths in found.items()} == {
        "cat": ["1.png", "2.PNG", "broken.png"],
        "Übung macht": ["2.JPEG", "ö 1.jpg"],
    }
    with pytest.raises(MissingDataError, match="no such folder"):
        images_of(animals / "none")


def test_folders_of_folders_are_groups(animals: Path) -> None:
    draw(animals.parent / "plants" / "cat" / "1.png")
    draw(animals.parent / "plants" / "cat" / "2.png")
    data = load_folder(animals.parent).images
    assert data.classes == ("animals/cat", "animals/Übung macht", "plants/cat")
    assert data.groups == ("animals", "animals", "plants")
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]


def damage(root: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cat" / "3.png")
    (root / "cat" / "3.png").write_bytes((root / "cat" / "3.png").read_bytes()[:-300])
    (root / "cat" / "4.png").write_bytes(b"")
    (root / "cat" / "notes.txt").write_text("not an image")
    os.symlink(root / "gone.png", root / "cat" / "link.png")
    os.mkfifo(root / "cat" / "pipe.png")


def test_bad_images_are_skipped_and_each_is_named(animals: Path) -> None:
    damage(animals)
    loaded = load_folder(animals)
    assert len(loaded.images) == 4
    assert {image.name: image.reason.split(" ")[0] for image in loaded.bad} == {
        "cat/3.png": "damaged",
        "cat/4.png": "the",
        "cat/notes.txt": "not",
        "cat/link.png": "not",
        "cat/pipe.png": "not",
    }
    assert loaded.summary.startswith("5 of 9 images cannot be read: cat/3.png: damaged")
    assert str(animals) not in loaded.summary
    assert "\n" not in loaded.summary


def test_bad_images_are_an_error_where_asked(animals: Path) -> None:
    load_folder(animals, on_bad_image="error")
    damage(animals)
    with pytest.raises(InputError, match=r"5 of 9 images cannot be read: .*cat/notes\.txt: not an image"):
        load_folder(animals, on_bad_image="error")
    with pytest.raises(InputError, match="'skip' or 'error'"):
        load_folder(animals, on_bad_image="ignore")


def test_a_class_needs_two_readable_images(animals: Path) -> None:
    (animals / "cat" / "2.PNG").write_bytes(b"")
    with pytest.raises(InputError, match=r"cat \(1\); two are needed to form a genuine pair; 1 of 4 .*cat/2\.PNG"):
        load_folder(animals)
    assert len(load_folder(animals, min_images=1).images) == 3
    with pytest.raises(InputError, match=r"cat \(1\), Übung macht \(2\); 3 are needed"):
        load_folder(animals, min_images=3)
    (animals / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"cat \(0\)"):
        load_folder(animals, min_images=1)
    with pytest.raises(InputError, match="at least 1"):
        load_folder(animals, min_images=0)


def test_layouts_that_cannot_be_meant_are_refused(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such folder"):
        load_folder(tmp_path / "none")
    with pytest.raises(InputError, match="a file; expected a folder"):
        load_folder(animals / "cat" / "1.png")
    with pytest.raises(InputError, match="2 files and no folder"):
        load_folder(animals / "cat")
    (animals / "dog").mkdir()
    with pytest.raises(InputError, match="empty classes: dog"):
        load_folder(animals)
    (animals / "dog").rmdir()
    draw(animals / "loose.png")
    with pytest.raises(InputError, match=r"different depths.*loose\.png"):
        load_folder(animals)
    (animals / "loose.png").unlink()
    draw(animals / "group" / "class" / "1.png")
    with pytest.raises(InputError, match="different depths"):
        load_folder(animals)


def test_one_class_no_class_and_too_deep(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="0 files and no folder"):
        load_folder(tmp_path / "nothing")
    for name in ("1.png", "2.png"):
        draw(tmp_path / "one" / "only" / name)
    with pytest.raises(InputError, match="at least two classes, got 1"):
        load_folder(tmp_path / "one")
    draw(tmp_path / "deep" / "a" / "b" / "c" / "1.png")
    with pytest.raises(InputError, match="folders below a class"):
        load_folder(tmp_path / "deep")


def test_a_link_to_a_folder_above_does_not_hang(animals: Path) -> None:
    os.symlink(animals, animals / "cat" / "loop")
    with pytest.raises(InputError, match="different depths"):
        load_folder(animals)
    (animals / "cat" / "loop").unlink()
    os.symlink(animals / "self.png", animals / "cat" / "self.png")
    os.symlink(animals / "cat" / "self.png", animals / "self.png")
    with pytest.raises(InputError, match="different depths"):
        load_folder(animals)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_and_without_groups(animals: Path) -> None:
    rows = "cat/1.png,a\ncat/2.PNG,a\nÜbung macht/ö 1.jpg,b\nÜbung macht/2.JPEG,b\n"
    data = load_csv(write(animals / "list.csv", "path,label\n" + rows)).images
    assert (data.classes, data.groups, data.labels.tolist()) == (("a", "b"), None, [0, 0, 1, 1])
    assert int(np.asarray(data[1][0])[0, 0]) == 50
    grouped = "".join(f"{line},{'g' if ',a' in line else 'h'}\n" for line in rows.splitlines())
    data = load_csv(write(animals / "groups.csv", "\ufeffpath,label,group\n" + grouped)).images
    assert (data.classes, data.groups) == (("g/a", "h/b"), ("g", "h"))
    swapped = "".join(",".join(reversed(line.split(","))) + "\n" for line in rows.splitlines())
    assert load_csv(write(animals / "swapped.csv", "label,path\n" + swapped)).images.names == data.names


def test_csv_knows_bad_images_and_small_classes(animals: Path) -> None:
    damage(animals)
    rows = "path,label\ncat/1.png,a\ncat/2.PNG,a\ncat/4.png,a\nÜbung macht/ö 1.jpg,b\n"
    path = write(animals / "list.csv", rows)
    with pytest.raises(InputError, match=r"b \(1\); two are needed"):
        load_csv(path)
    loaded = load_csv(path, min_images=1)
    assert [image.name for image in loaded.bad] == ["cat/4.png"]
    with pytest.raises(InputError, match=r"1 of 4 images cannot be read: cat/4\.png"):
        load_csv(path, min_images=1, on_bad_image="error")


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("", InputError, "expected the columns"),
        ("path\ncat/1.png\n", InputError, "expected the columns path,label"),
        ("path;label\ncat/1.png;a\n", InputError, "got 'path;label'"),
        ("path,label,split\ncat/1.png,a,test\n", InputError, "got 'path,label,split'"),
        ("path,label\n", InputError, "at least two classes, got 0"),
        ("path,label\ncat/1.png,a\ncat/2.PNG,\n", InputError, "line 3: expected a value"),
        ("path,label\ncat/1.png,a\ncat/2.PNG\n", InputError, "line 3: expected a value"),
        ("path,label\ncat/1.png,a,b\n", InputError, "line 2: expected a value"),
        ("path,label\ncat/1.png,a\ncat/1.png,b\n", InputError, "lines 2 and 3 list the same image"),
        ("path,label\ncat/1.png,a\ncat/9.png,b\n", MissingDataError, r"do not exist: cat/9\.png"),
        ('path,label\n"cat/1.png,a\n', InputError, "not a CSV"),
    ],
)
def test_csvs_that_cannot_be_meant_are_refused(text: str, error: type[SamekindError], why: str, animals: Path) -> None:
    with pytest.raises(error, match=why) as caught:
        load_csv(write(animals / "list.csv", text))
    assert "\n" not in str(caught.value)


def test_csv_that_is_none(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        load_csv(tmp_path / "none.csv")
    with pytest.raises(InputError, match="a folder; expected a CSV"):
        load_csv(animals)
    (tmp_path / "latin.csv").write_bytes("path,label\nä.png,a\n".encode("latin-1"))
    with pytest.raises(InputError, match="not a CSV in UTF-8"):
        load_csv(tmp_path / "latin.csv")
