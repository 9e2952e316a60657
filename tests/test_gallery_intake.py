"""What a gallery takes of an image: its digest, its crop, and how the model sees that."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samekind.bundle import Bundle
from samekind.errors import BundleError, ImageError, InputError, MissingDataError
from samekind.gallery.intake import embed, listed, read, take
from samekind.images import CROP_SIDE, ImageLike, crop
from samekind.verifier import Verifier

PIXELS = np.random.default_rng(4).integers(0, 256, size=(300, 200), dtype=np.uint8)


@pytest.fixture(scope="module")
def verifier(bundle: Bundle) -> Verifier:
    return Verifier(bundle, threads=1)


def png(pixels: object = PIXELS) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def test_a_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    expected = hashlib.sha256(png()).hexdigest()
    for image in (path, str(path), png(), bytearray(png())):
        assert read(image).digest == expected  # type: ignore[arg-type]  # bytearray is taken too


def test_without_a_file_a_digest_is_that_of_the_pixels() -> None:
    digests = [read(image).digest for image in (PIXELS, PIXELS.copy(), PIXELS.T, PIXELS / 255)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    image = Image.fromarray(PIXELS)
    assert read(image).digest == read(image.copy()).digest != read(image.convert("RGB")).digest


def test_a_crop_is_what_is_embedded(verifier: Verifier) -> None:
    taken = take(read(png()), verifier)
    assert taken.crop == crop(png())
    assert max(Image.open(io.BytesIO(taken.crop)).size) == CROP_SIDE
    np.testing.assert_array_equal(embed([taken], verifier), verifier.embed([taken.crop]))
    assert embed([], verifier).shape == (0, verifier.bundle.manifest.dim)


def test_flaws_are_those_of_the_crop(verifier: Verifier) -> None:
    assert take(read(np.full((80, 80), 255, np.uint8)), verifier).look.flaws == ("saturated: all white",)


def test_an_error_names_the_file(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / "half: of it.png"
    path.write_bytes(png()[:400])
    with pytest.raises(ImageError, match=r"^.*/half: of it\.png: damaged or truncated") as caught:
        take(read(path), verifier)
    assert "bytes>" not in str(caught.value)
    with pytest.raises(ImageError, match=r"^<8 bytes>: not an image"):
        take(read(b"no image"), verifier)
    with pytest.raises(MissingDataError, match="no such file"):
        read(tmp_path / "none.png")
    foreign: list[ImageLike] = [7]  # type: ignore[list-item]
    with pytest.raises(InputError, match="got int"):
        read(foreign[0])


def test_embeddings_that_cannot_be_compared_are_refused(verifier: Verifier) -> None:
    taken = [take(read(png()), verifier)]
    for value in (0, np.nan):
        broken = verifier.through(lambda inputs, v=value: np.full((len(inputs), 16), v, np.float32))  # type: ignore[misc]
        with pytest.raises(BundleError, match="zero or not finite"):
            embed(taken, broken)


def test_one_image_is_no_list() -> None:
    assert listed([b"a", "b"]) == [b"a", "b"]
    for one in ("a.png", b"a", Path("a.png"), PIXELS):
        with pytest.raises(InputError, match="put it into a list"):
            listed(one)  # type: ignore[arg-type]
