"""Characters that nobody invented: drawn by a seeded generator of strokes, as many classes as one asks for.

A class is a program of one to four strokes, most of them from the repertoire of its alphabet; a drawing is one noisy
run of that program in one drawer's hand. Knows strokes, pens and seeds. Knows nothing of networks.

Only sums and products of the generator's raw uniform numbers decide where ink goes, no function that a machine's
mathematical library may round in its own way: the same seed gives the same bytes everywhere.

Source: in the spirit of Lake, Salakhutdinov, Tenenbaum 2015 (a library of strokes, composed by relations, run with
motor noise); differs: nothing is fitted, strokes are splines through few points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samekind.data.labelled import LabelledImages
from samekind.errors import InputError

Floats = NDArray[np.float64]

SIZE = 105  # pixels, as Omniglot
FINE = 2 * SIZE  # ink is laid on a grid of twice the size
ALPHABET = 20  # characters an alphabet
REPERTOIRE = 6  # strokes an alphabet
SAMPLES = 112  # points of ink a stroke
POINTS = 7  # control points a stroke has at most
STROKES = 4  # strokes a character has at most

# Eight points around a circle, and the first again: the half diagonal is written out, not computed.
_H = 0.7071067811865476
_RING = np.array([(1, 0), (_H, _H), (0, 1), (-_H, _H), (-1, 0), (-_H, -_H), (0, -1), (_H, -_H)], dtype=np.float64)


@dataclass(frozen=True)
class _Stroke:
    """Control points around the origin, (P, 2), and whether the pen turns sharply at them."""

    points: Floats
    sharp: bool


def glyphs(classes: int = 200, drawings: int = 20, *, seed: int = 0) -> LabelledImages:
    """Draw characters that look written by hand: black ink on white, 105 x 105, two levels.

    Args:
        classes: how many characters; >= 1. A character does not depend on how many others are asked for.
        drawings: how many drawings of each; >= 1. Drawing i is by drawer i + 1, who has a hand of their own.
        seed: chooses the characters, the drawers and the drawings; >= 0.
    Returns:
        Images in the order of their classes, as uint8 arrays; 20 characters each form an alphabet (the group).
    Raises:
        InputError: a count is below 1, or the seed is negative.
    """
    if classes < 1 or drawings < 1 or seed < 0:
        raise InputError(f"expected at least 1 class, 1 drawing and a seed >= 0, got {classes}, {drawings}, {seed}")
    hands = np.stack([np.random.default_rng([seed, 2, drawer]).random(8) for drawer in range(drawings)])
    images: list[NDArray[np.uint8]] = []
    repertoire: list[_Stroke] = []
    for index in range(classes):
        if index % ALPHABET == 0:
            alphabet = np.random.default_rng([seed, 0, index // ALPHABET])
            curved = 0.25 + 0.6 * alphabet.random()
            repertoire = [_stroke(alphabet, curved) for _ in range(REPERTOIRE)]
        rng = np.random.default_rng([seed, 1, index])
        images.extend(_draw(_program(rng, repertoire), hands, rng))
    names = tuple(f"alphabet{i // ALPHABET + 1:03d}/character{i % ALPHABET + 1:02d}" for i in range(classes))
    return LabelledImages(
        name="glyphs",
        items=images,
        names=tuple(f"{name}/{drawer + 1:02d}" for name in names for drawer in range(drawings)),
        labels=np.repeat(np.arange(classes, dtype=np.int64), drawings),
        classes=names,
        groups=tuple(name.partition("/")[0] for name in names),
        sources=np.tile(np.arange(1, drawings + 1, dtype=np.int64), classes),
        characters=True,
    )


def _choose(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    """An index, as likely as its weight; the weights sum to 1."""
    return min(int(np.searchsorted(np.cumsum(weights), rng.random(), side="right")), len(weights) - 1)


def _stroke(rng: np.random.Generator, curved: float) -> _Stroke:
    """One stroke of unit size: a line or a bend, or, as likely as curved says, an arc, a hook or a wave."""
    eighth = 2 * int(4 * rng.random()) + (rng.random() < 0.3)  # upright and level more often than slanting
    direction = _RING[eighth] + 0.25 * (rng.random(2) - 0.5)
    across = direction[::-1] * np.array([1.0, -1.0])
    if rng.random() >= curved:
        if rng.random() < 0.6:  # a line, a little bowed
            middle = 0.16 * (rng.random() - 0.5) * across
            return _Stroke(np.stack([-direction, middle, direction]) / 2, sharp=False)
        turns = 1 + _choose(rng, (0.65, 0.35))  # a bend or a zigzag
        steps = np.linspace(-1.0, 1.0, turns + 2)[:, None] * direction
        side = np.where(np.arange(turns + 2) % 2 == 0, -1.0, 1.0)[:, None] * (0.3 + 0.4 * rng.random())
        return _Stroke((steps + side * across) / 2, sharp=True)
    kind = _choose(rng, (0.4, 0.2, 0.2, 0.2))
    if kind == 0:  # an arc of three to all eight steps around, flattened
        start, length = int(8 * rng.random()), 4 + int(4 * rng.random())
        turn = 1 if rng.random() < 0.5 else -1
        ring = _RING[(start + turn * np.arange(length)) % 8]
        return _Stroke(ring * (0.3 + 0.25 * rng.random(2)), sharp=False)
    if kind == 1:  # a line that ends in a curl
        curl = 0.15 + 0.2 * rng.random()
        tail = np.stack([direction + curl * across, direction * (1 - 2 * curl) + 1.6 * curl * across])
        return _Stroke(np.concatenate([-direction[None], 0.2 * direction[None], tail]) / 2, sharp=False)
    if kind == 2:  # a wave
        steps = np.linspace(-1.0, 1.0, 5)[:, None] * direction
        swing = np.array([0.0, 1.0, 0.0, -1.0, 0.0])[:, None] * (0.35 + 0.45 * rng.random())
        return _Stroke((steps + swing * across) / 2, sharp=False)
    walk = np.cumsum(rng.random((5, 2)) - 0.5 + 0.2 * direction, axis=0)  # a scribble
    return _Stroke(walk - walk.mean(axis=0), sharp=False)


def _program(rng: np.random.Generator, repertoire: list[_Stroke]) -> list[_Stroke]:
    """A character: strokes in place, fitted into the square of -1 to 1."""
    count = 1 + _choose(rng, (0.16, 0.34, 0.3, 0.2))
    placed: list[_Stroke] = []
    for _ in range(count):
        stroke = repertoire[int(REPERTOIRE * rng.random())] if rng.random() < 0.8 else _stroke(rng, 0.5)
        if count == 1 and len(stroke.points) < 4:
            stroke = _stroke(rng, 1.0)  # a single short line is no character of its own
        points = stroke.points * (0.5 + 0.7 * rng.random()) * (0.85 + 0.3 * rng.random(2))
        if rng.random() < 0.3:
            points = points * np.where(rng.random(2) < 0.5, -1.0, 1.0)
        points = _place(rng, points, placed)
        placed.append(_Stroke(points, stroke.sharp))
    together = np.concatenate([stroke.points for stroke in placed])
    low, high = together.min(axis=0), together.max(axis=0)
    scale = 2 / max(float((high - low).max()), 0.1)
    return [_Stroke((stroke.points - (low + high) / 2) * scale, stroke.sharp) for stroke in placed]


def _place(rng: np.random.Generator, points: Floats, placed: list[_Stroke]) -> Floats:
    """Move a stroke to where it starts on an earlier one, crosses it, or stands beside it; not to where it hides it."""
    if not placed:
        return points
    moved = points
    for _ in range(5):
        if rng.random() < 0.7:
            earlier = placed[int(len(placed) * rng.random())].points
            segment = int((len(earlier) - 1) * rng.random())
            touch = earlier[segment] + rng.random() * (earlier[segment + 1] - earlier[segment])
            own = points[0] if rng.random() < 0.7 else (points[0] + points[-1]) / 2
            moved = points - own + touch
        else:
            moved = points + 1.1 * (rng.random(2) - 0.5)
        apart = [((moved - other.points[len(other.points) // 2]) ** 2).sum(axis=1).min() for other in placed]
        if min(apart) > 0.05:
            break
    return moved


def _draw(program: list[_Stroke], hands: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Run a program once in each hand: (D, 105, 105) uint8, 0 where there is ink and 255 elsewhere."""
    drawings = len(hands)
    noise = _bell(rng.random((drawings, STROKES * (POINTS + 3) + 4, 2, 3)))  # (D, ., 2), of one drawing in one row
    steady = 0.6 + 0.8 * hands[:, 0, None, None]
    inks = []
    for number, stroke in enumerate(program):
        row = noise[:, number * (POINTS + 3) :]
        count = len(stroke.points)
        points = stroke.points * (1 + 0.1 * row[:, None, POINTS])
        points = points + 0.08 * steady * row[:, None, POINTS + 1]
        points = points + 0.07 * steady * row[:, :count]
        points = points + 0.07 * row[:, None, POINTS + 2] * points[:, :, ::-1]  # turn and shear
        inks.append(_trace(points, sharp=stroke.sharp))
    path = np.concatenate(inks, axis=1)  # (D, S * SAMPLES, 2)
    final = noise[:, -4:]
    slant = 0.45 * (hands[:, 1, None] - 0.5) + 0.05 * final[:, None, 0, 0]
    path_x = path[:, :, 0] - slant * path[:, :, 1]
    path_y = path[:, :, 1] + 0.06 * final[:, None, 0, 1] * path[:, :, 0]
    size = (0.25 + 0.11 * hands[:, 2, None]) * (1 + 0.06 * final[:, None, 1, 0])
    wide = 1 + 0.35 * (hands[:, 3, None] - 0.5) + 0.05 * final[:, None, 1, 1]
    centre = 0.5 + 0.025 * final[:, None, 2] + 0.06 * (hands[:, None, 4:6] - 0.5)
    x = (centre[:, :, 0] + size * wide * path_x) * FINE
    y = (centre[:, :, 1] + size * path_y) * FINE
    radius = 3.0 + 0.7 * hands[:, 6] + 0.12 * final[:, 3, 0]
    return _ink(x, y, radius)


def _bell(uniform: Floats) -> Floats:
    """Sums of three uniform numbers along the last axis: mean 0, deviation 1, never beyond 3."""
    total: Floats = uniform[..., 0] + uniform[..., 1] + uniform[..., 2]
    return 2 * (total - 1.5)


def _trace(points: Floats, *, sharp: bool) -> Floats:
    """Where the pen goes: (D, P, 2) control points to (D, SAMPLES, 2), by straight lines or a Catmull-Rom spline."""
    count = points.shape[1]
    position = np.arange(SAMPLES) * ((count - 1) / (SAMPLES - 1))
    segment = np.minimum(position.astype(np.int64), count - 2)
    t: Floats = (position - segment)[:, None]
    start: Floats = points[:, segment]
    end: Floats = points[:, segment + 1]
    ahead: Floats = end - start
    if not sharp:
        before, after = points[:, np.maximum(segment - 1, 0)], points[:, np.minimum(segment + 2, count - 1)]
        third = 3 * (start - end) + after - before
        second = 2 * before - 5 * start + 4 * end - after
        ahead = (end - before + t * (second + t * third)) / 2
    path: Floats = start + t * ahead
    return path


def _ink(x: Floats, y: Floats, radius: Floats) -> NDArray[np.uint8]:
    """Press round pens of these radii along (D, S) points of the fine grid, then halve its size."""
    drawings = len(x)
    fine = np.zeros((drawings, FINE, FINE), dtype=np.uint8)
    reach = int(radius.max()) + 1
    offset = np.arange(-reach, reach + 1)
    squared = offset[:, None] ** 2 + offset**2
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    flat = fine.reshape(drawings, -1)
    for drawing in range(drawings):
        down, right = np.nonzero(squared <= radius[drawing] ** 2)
        rows = np.clip(row[drawing, :, None] + offset[down], 0, FINE - 1)
        columns = np.clip(column[drawing, :, None] + offset[right], 0, FINE - 1)
        flat[drawing, rows * FINE + columns] = 1
    covered = fine[:, ::2, ::2] + fine[:, 1::2, ::2] + fine[:, ::2, 1::2] + fine[:, 1::2, 1::2]
    return np.where(covered >= 2, np.uint8(0), np.uint8(255))
