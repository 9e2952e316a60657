"""Warps: exact where nothing is to happen, different for each image, and nothing comes in from outside."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from samekind.augment import KOCH_WARP, Warp, chimeras
from samekind.errors import InputError

STILL = Warp(rotation=0, shear=0, scale=0, translation=0, elastic=0)


def noise(batch: int = 6, channels: int = 1, side: int = 21) -> Tensor:
    return torch.rand((batch, channels, side, side), generator=torch.Generator().manual_seed(5))


def apply(
    warp: Warp, images: Tensor, *, seed: int = 0, turns: Tensor | None = None, mirrored: Tensor | None = None
) -> Tensor:
    return warp(images, generator=torch.Generator().manual_seed(seed), quarter_turns=turns, mirrored=mirrored)


def blob(batch: int = 1, side: int = 33) -> Tensor:
    """A disc in the middle."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disc = ((y - side // 2) ** 2 + (x - side // 2) ** 2 <= (side // 5) ** 2).float()
    return disc.expand(batch, 1, side, side)


def centre(images: Tensor) -> Tensor:
    """Centre of mass, (B, 2) as (x, y) in pixels."""
    side = torch.arange(images.shape[-1], dtype=torch.float32)
    mass = images.sum(dim=(1, 2, 3))
    return torch.stack(((images.sum(dim=(1, 2)) @ side) / mass, (images.sum(dim=(1, 3)) @ side) / mass), dim=1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [20, 21])
def test_no_warp_gives_the_images(channels: int, side: int) -> None:
    images = noise(channels=channels, side=side)
    torch.testing.assert_close(apply(STILL, images), images, atol=1e-5, rtol=0)
    torch.testing.assert_close(apply(replace(KOCH_WARP, probability=0), images), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [20, 21])
def test_quarter_turns_are_those_of_rot90(side: int) -> None:
    images = noise(8, 2, side)
    turns = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    expected = torch.stack([torch.rot90(i, int(t), dims=(1, 2)) for i, t in zip(images, turns, strict=True)])
    torch.testing.assert_close(apply(STILL, images, turns=turns), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("side", [20, 21])
def test_mirrors_exchange_left_and_right_before_any_turn(side: int) -> None:
    images = noise(4, 2, side)
    turns, mirrored = torch.tensor([0, 0, 1, 3]), torch.tensor([False, True, True, True])
    flipped = [i.flip(-1) if m else i for i, m in zip(images, mirrored, strict=True)]
    expected = torch.stack([torch.rot90(i, int(t), dims=(1, 2)) for i, t in zip(flipped, turns, strict=True)])
    torch.testing.assert_close(apply(STILL, images, turns=turns, mirrored=mirrored), expected, atol=1e-4, rtol=0)


def test_the_generator_decides_alone() -> None:
    images, warp = noise(), Warp()
    assert torch.equal(apply(warp, images, seed=1), apply(warp, images, seed=1))
    assert not torch.equal(apply(warp, images, seed=1), apply(warp, images, seed=2))


def test_each_image_is_warped_on_its_own() -> None:
    warped = apply(Warp(), noise(1).expand(6, -1, -1, -1))
    assert len({tuple(image.flatten().tolist()) for image in warped}) == 6


@pytest.mark.parametrize(
    "warp",
    [
        replace(STILL, rotation=20),
        replace(STILL, shear=0.3),
        replace(STILL, scale=0.2),
        replace(STILL, translation=0.1),
        replace(STILL, elastic=0.03),
    ],
    ids=["rotation", "shear", "scale", "translation", "elastic"],
)
def test_every_extent_moves_something_and_more_moves_more(warp: Warp) -> None:
    images = blob(16) * noise(16, 1, 33)
    moved = (apply(warp, images) - images).abs().mean()
    less = Warp(warp.rotation / 10, warp.shear / 10, warp.scale / 10, warp.translation / 10, warp.elastic / 10)
    assert moved > 0.005
    assert moved > 2 * (apply(less, images) - images).abs().mean()


def test_translation_is_a_fraction_of_the_side() -> None:
    images = blob(200)
    shift = (centre(apply(replace(STILL, translation=0.1), images)) - 16) / 33
    assert 0.095 < shift.abs().max() <= 0.1 + 1e-3
    assert (shift.min(dim=0).values < -0.08).all()
    assert (shift.max(dim=0).values > 0.08).all()


def test_scale_is_a_relative_size_along_each_axis() -> None:
    images = blob(200)
    area = apply(replace(STILL, scale=0.2), images).sum(dim=(1, 2, 3)) / images[0].sum()
    assert 0.6 < area.min() < 0.75
    assert 1.3 < area.max() < 1.5


def test_rotation_is_in_degrees() -> None:
    bar = torch.zeros(200, 1, 41, 41)
    bar[:, :, 18:23, 2:39] = 1
    warped = apply(replace(STILL, rotation=30), bar)[:, 0]
    side = torch.arange(41.0) - 20
    xy = (warped * side[None, :, None] * side[None, None, :]).sum(dim=(1, 2))
    xx, yy = (warped * side.square()).sum(dim=(1, 2)), (warped * side.square()[:, None]).sum(dim=(1, 2))
    degrees = torch.rad2deg(torch.atan2(2 * xy, xx - yy) / 2)
    assert 27 < degrees.abs().max() < 31
    assert degrees.min() < -25 < 25 < degrees.max()


def test_more_cells_make_a_rougher_field() -> None:
    ramp = torch.linspace(0, 1, 64).expand(8, 1, 64, 64)  # an image whose pixels say where they are from
    roughness = []
    for cells in (4, 8, 16):
        shifts = (apply(replace(STILL, elastic=0.01, cells=cells), ramp) - ramp)[:, 0, 8:-8, 8:-8]
        assert 0.004 < shifts.std() < 0.015
        roughness.append(float(shifts.diff(dim=1).square().mean()))
    assert roughness[0] * 2 < roughness[1]
    assert roughness[1] * 2 < roughness[2]


def test_probability_is_that_of_each_component() -> None:
    images = blob(400)
    untouched = [
        float(
            ((apply(replace(STILL, shear=0.3, probability=p), images) - images).abs().amax((1, 2, 3)) < 1e-4)
            .float()
            .mean()
        )
        for p in (0.0, 0.5, 1.0)
    ]
    assert untouched[0] == 1
    assert 0.4 < untouched[1] < 0.6
    assert untouched[2] < 0.05


def test_nothing_comes_in_from_outside() -> None:
    images = torch.ones(64, 1, 21, 21)
    warped = apply(replace(STILL, translation=0.3), images)
    assert warped.amin() == 0
    assert warped.amax() <= 1 + 1e-5
    assert (warped.sum(dim=(1, 2, 3)) < 441).sum() > 60
    assert not apply(Warp(elastic=0.1), torch.zeros(4, 1, 21, 21)).any()


def test_channels_are_warped_alike() -> None:
    one = noise(4, 1)
    warped = apply(Warp(), torch.cat([one, 2 * one, one], dim=1))
    torch.testing.assert_close(warped[:, 0], warped[:, 2])
    torch.testing.assert_close(warped[:, 1], 2 * warped[:, 0])


def test_type_is_kept() -> None:
    assert apply(Warp(), noise().double()).dtype == torch.float64


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation": -1.0},
        {"shear": -0.1},
        {"scale": 1.0},
        {"scale": -0.1},
        {"translation": -0.1},
        {"elastic": -0.1},
        {"cells": 3},
        {"probability": 1.5},
        {"probability": -0.5},
    ],
)
def test_values_out_of_range_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected extents >= 0"):
        replace(Warp(), **wrong)  # type: ignore[arg-type]


def test_wrong_shapes_are_errors() -> None:
    with pytest.raises(InputError, match="H = W"):
        apply(Warp(), torch.zeros(2, 1, 8, 9))
    with pytest.raises(InputError, match=r"quarter_turns \(2,\)"):
        apply(Warp(), torch.zeros(2, 1, 8, 8), turns=torch.zeros(3, dtype=torch.int64))


def test_kochs_warp_is_his() -> None:
    assert (KOCH_WARP.rotation, KOCH_WARP.shear, KOCH_WARP.scale) == (10, 0.3, 0.2)
    assert KOCH_WARP.translation * 105 == pytest.approx(2)
    assert (KOCH_WARP.elastic, KOCH_WARP.probability) == (0, 0.5)


def make_chimeras(images: Tensor, *, each: int, share: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.arange(len(images) // each).repeat_interleave(each) + 10
    return chimeras(images, labels, images_each=each, share=share, generator=torch.Generator().manual_seed(seed))


def test_chimeras_are_half_their_own_and_half_of_a_class_that_stays() -> None:
    # each image is of one value, its class in the tens and its number in the ones
    values = torch.tensor([[10 * c + k for k in range(3)] for c in range(8)], dtype=torch.float32)
    images = values.reshape(-1, 1, 1, 1).expand(-1, 1, 20, 20)
    made, labels = make_chimeras(images, each=3, share=0.5)
    assert torch.equal(made[:12], images[:12])
    assert labels[:12].tolist() == [10, 10, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13]
    assert labels[12:].tolist() == [-1] * 3 + [-2] * 3 + [-3] * 3 + [-4] * 3
    for c in range(4, 8):
        of_class = made[3 * c : 3 * c + 3, 0]
        own = of_class >= 10 * c
        assert torch.equal(own[0], own[1])  # one cut for all images of a class
        assert torch.equal(own[0], own[2])
        assert 0.25 < own[0].float().mean() < 0.75
        for k, image in enumerate(of_class):
            assert set(image[own[k]].tolist()) == {10 * c + k}
            (other,) = set(image[~own[k]].tolist())
            assert other % 10 == k  # the partner's image of the same number
            assert other < 40  # of a class that stays


def test_cuts_and_partners_differ_between_chimeras() -> None:
    made, _ = make_chimeras(noise(40, side=20), each=2, share=0.5)
    again, _ = make_chimeras(noise(40, side=20), each=2, share=0.5)
    other, _ = make_chimeras(noise(40, side=20), each=2, share=0.5, seed=1)
    assert torch.equal(made, again)
    assert not torch.equal(made, other)


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_no_chimeras_leave_the_batch_as_it_is(share: float) -> None:
    images = noise(8)
    made, labels = make_chimeras(images, each=2, share=share)
    assert torch.equal(made, images)
    assert labels.tolist() == [10, 10, 11, 11, 12, 12, 13, 13]


def test_chimeras_refuse_what_is_no_batch_of_classes() -> None:
    with pytest.raises(InputError, match="multiple of 4"):
        make_chimeras(noise(6), each=4, share=0.5)
    with pytest.raises(InputError, match=r"share in \[0, 1\)"):
        make_chimeras(noise(6), each=2, share=1.0)
