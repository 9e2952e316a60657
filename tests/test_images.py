"""Every kind of image file comes out as Pillow shows it, or is refused in one line."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image, ImageOps

from samekind.errors import ImageError, InputError, MissingDataError
from samekind.images import MAX_PIXELS, ImageLike, Preprocessing, crop, open_image

GRADIENT = np.linspace(0, 255, 12 * 20).reshape(12, 20).astype(np.uint8)
COLOUR = np.stack([GRADIENT, GRADIENT[::-1], GRADIENT[:, ::-1]], axis=-1)


def encode(image: Image.Image, kind: str, *, exif: Image.Exif | None = None) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind) if exif is None else image.save(stream, kind, exif=exif)
    return stream.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG that promises this size and holds a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "PNG"), ("RGB", "PNG"), ("RGB", "JPEG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("P", "GIF")],
)
def test_opaque_images_are_what_pillow_shows(mode: str, kind: str) -> None:
    data = encode(Image.fromarray(COLOUR).convert(mode), kind)
    opened = open_image(data)
    expected = Image.open(io.BytesIO(data)).convert(opened.mode)
    assert opened.mode == ("L" if mode == "L" else "RGB")
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(expected))


def test_one_bit_becomes_black_and_white() -> None:
    data = encode(Image.fromarray(GRADIENT > 100), "PNG")
    np.testing.assert_array_equal(np.asarray(open_image(data)), np.where(GRADIENT > 100, 255, 0))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    deep = GRADIENT.astype(np.uint16) * 257
    opened = open_image(encode(Image.fromarray(deep), "PNG"))
    np.testing.assert_array_equal(np.asarray(opened), GRADIENT)
    np.testing.assert_array_equal(np.asarray(open_image(deep)), GRADIENT)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_show_white(mode: str) -> None:
    image = Image.fromarray(GRADIENT).convert(mode)
    image.putalpha(Image.fromarray(np.where(np.arange(20) < 10, 0, 255).astype(np.uint8)[None].repeat(12, axis=0)))
    opened = np.asarray(open_image(encode(image, "PNG")).convert("L"))
    assert (opened[:, :10] == 255).all()
    np.testing.assert_array_equal(opened[:, 10:], GRADIENT[:, 10:])


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_shows_white(mode: str) -> None:
    image = Image.fromarray(np.where(GRADIENT > 100, 200, 10).astype(np.uint8)).convert(mode)
    stream = io.BytesIO()
    key = image.getpixel((0, 0))
    image.save(stream, "PNG", transparency=key)
    opened = np.asarray(open_image(stream.getvalue()).convert("L"))
    np.testing.assert_array_equal(opened, np.where(GRADIENT > 100, 200, 255))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(COLOUR), "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    opened = open_image(data)
    assert opened.size == ((20, 12) if orientation < 5 else (12, 20))
    np.testing.assert_array_equal(np.asarray(opened), np.asarray(expected))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.fromarray(np.full((9, 9), value, dtype=np.uint8)) for value in (10, 120, 240)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert (np.asarray(open_image(stream.getvalue()).convert("L")) == 10).all()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"hello, this is text\n" * 20, "not an image"),
        (encode(Image.fromarray(COLOUR), "PNG")[:-60], "truncated"),
        (encode(Image.fromarray(COLOUR), "JPEG")[:-200], "truncated"),
        (bomb(8001, 8000), "8001 x 8000 pixels are more"),
        (bomb(60_000, 60_000), "pixels allowed"),
        (encode(Image.fromarray(GRADIENT.astype(np.float32)), "TIFF"), "floating point"),
    ],
    ids=["empty", "text", "short png", "short jpeg", "large", "bomb", "float"],
)
def test_unreadable_files_are_refused_in_one_line(data: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "odd name.png"
    path.write_bytes(data)
    for source in (path, data):
        with pytest.raises(ImageError, match=why) as caught:
            open_image(source)
        assert "\n" not in str(caught.value)
        assert (str(path) if source is path else "bytes") in str(caught.value)


def test_a_size_just_allowed_is_not_refused_for_its_size() -> None:
    assert MAX_PIXELS == 8000 * 8000
    with pytest.raises(ImageError, match="truncated"):
        open_image(bomb(8000, 8000))


def test_missing_file_folder_and_foreign_type(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="no such file"):
        open_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="a folder"):
        open_image(str(tmp_path))
    foreign: list[ImageLike] = [3]  # type: ignore[list-item]
    with pytest.raises(InputError, match="got int"):
        open_image(foreign[0])


def test_pil_images_are_checked_and_left_as_they_are() -> None:
    lazy = Image.open(io.BytesIO(encode(Image.fromarray(COLOUR).resize((400, 240)), "JPEG")))
    assert open_image(lazy, draft=("L", (10, 10))).size == lazy.size == (400, 240)
    with pytest.raises(ImageError, match="at least one"):
        open_image(Image.new("L", (0, 4)))
    with pytest.raises(ImageError, match="truncated"):
        open_image(Image.open(io.BytesIO(encode(Image.fromarray(COLOUR), "PNG")[:-60])))


@pytest.mark.parametrize(
    ("size", "expected"), [((900, 300), (160, 53)), ((50, 500), (16, 160)), ((160, 7), (160, 7)), ((30, 20), (30, 20))]
)
def test_a_crop_is_no_larger_than_asked(size: tuple[int, int], expected: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        data = encode(Image.new("RGB", size, (90, 20, 7)), kind)
        assert Image.open(io.BytesIO(crop(data))).size == expected
    assert max(Image.open(io.BytesIO(crop(data, side=40))).size) <= 40


def test_a_crop_has_colour_only_where_there_is_some() -> None:
    grey = np.repeat(GRADIENT[..., None], 3, axis=2)
    assert crop(grey) == crop(GRADIENT) == crop(encode(Image.fromarray(grey), "PNG"))
    assert Image.open(io.BytesIO(crop(GRADIENT))).mode == "L"
    kept = Image.open(io.BytesIO(crop(COLOUR)))
    assert kept.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(kept), COLOUR)


def test_a_crop_of_a_crop_shows_the_same() -> None:
    large = np.random.default_rng(0).integers(0, 256, size=(333, 517, 3), dtype=np.uint8)
    once = crop(large)
    assert crop(once) == once


def test_a_crop_is_upright_and_carries_nothing_else_along() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "taken at a secret place"
    data = encode(Image.fromarray(COLOUR), "JPEG", exif=exif)
    kept = Image.open(io.BytesIO(crop(data)))
    assert kept.size == (12, 20)
    assert not kept.getexif()
    assert kept.info == {}
    assert b"secret" in data
    assert b"secret" not in crop(data)


def test_a_crop_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not an image"):
        crop(b"no image")
    with pytest.raises(MissingDataError, match="no such file"):
        crop(tmp_path / "none.png")


def test_draft_decodes_a_jpeg_smaller() -> None:
    data = encode(Image.fromarray(COLOUR).resize((800, 480)), "JPEG")
    assert open_image(data, draft=("RGB", (50, 30))).width < open_image(data).width == 800


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 2), dtype=np.uint8),
        np.zeros((0, 4), dtype=np.uint8),
        np.full((4, 4), 1.5),
        np.full((4, 4), np.nan),
        np.zeros((4, 4), dtype=np.int64),
    ],
)
def test_arrays_of_another_kind_are_refused(array: NDArray[np.generic]) -> None:
    with pytest.raises(ImageError, match="expected"):
        open_image(array)


def test_arrays_of_every_kind_show_the_same() -> None:
    for array in (GRADIENT, GRADIENT / 255, (GRADIENT / 255).astype(np.float32), GRADIENT.astype(np.uint16) * 256):
        np.testing.assert_array_equal(np.asarray(open_image(array)), GRADIENT)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30), st.just(3))))
def test_a_file_and_its_array_give_the_same_input(array: NDArray[np.uint8]) -> None:
    preprocessing = Preprocessing.for_photos(16)
    left, right = preprocessing(array), preprocessing(encode(Image.fromarray(array), "PNG"))
    assert left.shape == (3, 16, 16)
    assert left.dtype == np.float32
    np.testing.assert_array_equal(left, right)


def test_preprocessing_uses_each_of_its_values() -> None:
    square = GRADIENT[:, :12]
    plain = Preprocessing(size=12, invert=False)(square)
    np.testing.assert_allclose(plain[0] * 255, square, atol=1e-4)
    np.testing.assert_allclose(Preprocessing(size=12)(square), 1 - plain, atol=1e-6)
    np.testing.assert_allclose(Preprocessing(size=12, invert=False, mean=(0.25,))(square), plain - 0.25, atol=1e-6)
    np.testing.assert_allclose(Preprocessing(size=12, invert=False, std=(0.5,))(square), plain / 0.5, atol=1e-6)
    assert Preprocessing(size=9)(square).shape == (1, 9, 9)
    assert Preprocessing(size=12, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3)(COLOUR).shape == (3, 12, 12)


@pytest.mark.parametrize("invert", [True, False])
def test_what_pads_to_a_square_becomes_the_mean(invert: bool) -> None:
    wide = np.full((10, 30), 77, dtype=np.uint8)
    out = Preprocessing(size=30, invert=invert, mean=(0.2,))(wide)[0]
    np.testing.assert_allclose(out[:10], 0, atol=0.003)
    np.testing.assert_allclose(out[20:], 0, atol=0.003)
    assert (np.abs(out[12:18]) > 0.05).all()


def drawing(*, x: int, y: int, length: int, side: int = 100) -> NDArray[np.uint8]:
    """A black square with a white hole in its upper left, on white."""
    canvas = np.full((side, side), 255, dtype=np.uint8)
    canvas[y : y + length, x : x + length] = 0
    canvas[y + length // 4 : y + length // 2, x + length // 4 : x + length // 2] = 255
    return canvas


@given(x=st.integers(0, 60), y=st.integers(0, 60), length=st.sampled_from([20, 40]))
def test_framed_it_does_not_matter_where_and_how_large_a_drawing_is(x: int, y: int, length: int) -> None:
    framed = Preprocessing(size=24, frame=1.2)
    seen = framed(drawing(x=x, y=y, length=length))
    np.testing.assert_array_equal(seen, framed(drawing(x=4, y=8, length=length)))
    assert np.abs(seen - framed(drawing(x=4, y=8, length=40))).mean() < 0.06  # edges are resampled, half a pixel wide


def test_a_wider_frame_leaves_more_ground() -> None:
    close, wide = (Preprocessing(size=24, frame=frame)(drawing(x=10, y=30, length=40))[0] for frame in (1.0, 2.0))
    assert close[0].all()
    assert not wide[:5].any()
    assert not wide[-5:].any()
    assert wide[7].any()


@pytest.mark.parametrize("frame", [-1.0, 0.5, float("inf"), float("nan")])
def test_a_frame_that_cuts_ink_off_is_refused(frame: float) -> None:
    with pytest.raises(InputError, match="expected a frame of 0"):
        Preprocessing(frame=frame)


@pytest.mark.parametrize(
    ("size", "channels", "mean", "std"),
    [(7, 1, (0.0,), (1.0,)), (32, 2, (0.0,), (1.0,)), (32, 3, (0.0,), (1.0,)), (32, 1, (0.0,), (0.0,))],
)
def test_preprocessing_out_of_range_is_refused(
    size: int, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    with pytest.raises(InputError, match="expected"):
        Preprocessing(size=size, channels=channels, mean=mean, std=std)
