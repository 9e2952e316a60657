"""What a person may write for DATA."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.data import source
from samekind.errors import InputError, MissingDataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (9, 9), 10 * number).save(tmp_path / "images" / label / f"{number}.png")
    return tmp_path / "images"


def test_a_folder_and_a_csv(folder: Path) -> None:
    loaded = source.load(str(folder))
    assert len(loaded.images) == 4
    table = folder / "list.CSV"
    table.write_text("path,label\na/0.png,x\na/1.png,x\nb/0.png,y\nb/1.png,y\n")
    assert source.load(str(table)).images.classes == ("x", "y")
    table.write_text("path,label\na/0.png,x\na/1.png,x\nb/0.png,y\nb/1.png,y\nb/2.png,y\n")
    (folder / "b" / "2.png").write_bytes(b"")
    assert [image.name for image in source.load(str(table)).bad] == ["b/2.png"]
    with pytest.raises(InputError, match="cannot be read"):
        source.load(str(table), on_bad_image="error")


def test_bad_images_of_a_folder(folder: Path) -> None:
    (folder / "b" / "2.png").write_bytes(b"")
    assert [image.name for image in source.load(str(folder)).bad] == ["b/2.png"]
    with pytest.raises(InputError, match="cannot be read"):
        source.load(str(folder), on_bad_image="error")
    with pytest.raises(InputError, match="'skip' or 'error'"):
        source.load("glyphs", on_bad_image="other")


def test_glyphs() -> None:
    loaded = source.load("glyphs")
    assert (len(loaded.images), len(loaded.images.classes), loaded.bad) == (4000, 200, ())


@pytest.mark.skipif("SAMEKIND_DATA" not in os.environ, reason="SAMEKIND_DATA names no folder with Omniglot")
@pytest.mark.parametrize("name", ["omniglot:evaluation", "omniglot:runs"])
def test_names_load_under_their_name(name: str) -> None:
    assert name in source.NAMES
    assert source.load(name).images.name == name
    assert source.load(name, data_dir=Path(os.environ["SAMEKIND_DATA"])).images.name == name


def test_data_dir_is_where_omniglot_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=str(tmp_path)):
        source.load("omniglot:background", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["omniglot", "omniglot:train", "nonsense", "./none/at/all"])
def test_unknown_names_list_the_known_ones(name: str) -> None:
    with pytest.raises(MissingDataError) as caught:
        source.load(name)
    for known in ("omniglot:background", "omniglot:evaluation", "omniglot:small2", "glyphs", "a folder", "CSV"):
        assert known in str(caught.value)


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(path)
    with pytest.raises(InputError, match=r"named \.csv"):
        source.load(str(path))
