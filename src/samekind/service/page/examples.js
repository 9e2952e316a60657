// Drawings to begin with, as strokes: three characters, each by two hands.

const line = (...points) => points.map(([x, y]) => ({ x, y }));

const CHARACTERS = [
  [
    [line([30, 84], [36, 66], [44, 46], [52, 24], [60, 44], [68, 64], [76, 84]), line([38, 62], [52, 60], [67, 61])],
    [line([26, 78], [34, 60], [44, 40], [54, 20], [60, 40], [70, 62], [80, 80]), line([36, 56], [50, 57], [70, 55])],
  ],
  [
    [
      line([40, 20], [39, 40], [40, 60], [39, 84]),
      line([40, 24], [56, 22], [66, 32], [60, 46], [42, 52]),
      line([42, 52], [56, 66], [70, 84]),
    ],
    [
      line([36, 24], [37, 44], [35, 64], [36, 82]),
      line([36, 27], [54, 24], [68, 36], [58, 50], [38, 54]),
      line([40, 54], [58, 68], [76, 80]),
    ],
  ],
  [
    [line([72, 28], [58, 20], [40, 28], [34, 48], [38, 68], [54, 80], [72, 72]), line([36, 50], [50, 49], [62, 50])],
    [line([76, 32], [60, 22], [42, 32], [32, 52], [40, 72], [58, 82], [76, 76]), line([34, 52], [48, 53], [66, 52])],
  ],
];

let turn = 0;

/** Strokes for both wells: of one character, then of two, and so on. */
export function example() {
  const at = turn % CHARACTERS.length;
  const other = Math.floor(turn / CHARACTERS.length) % 2 === 0 && turn % 2 === 1 ? (at + 1) % CHARACTERS.length : at;
  turn += 1;
  return [CHARACTERS[at][0], CHARACTERS[other][1]];
}
