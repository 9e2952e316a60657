// Pictures: those that the service keeps, those that a person brings, and what a model sees of them.

import * as api from "./api.js";
import { h } from "./element.js";

const KEPT = 400; // object URLs
const urls = new Map(); // sample id -> promise of an object URL, the oldest first

function urlOf(id) {
  if (urls.has(id)) return urls.get(id);
  const url = api.picture(id).then((blob) => URL.createObjectURL(blob));
  url.catch(() => urls.delete(id));
  urls.set(id, url);
  if (urls.size > KEPT) {
    const [oldest, old] = urls.entries().next().value;
    urls.delete(oldest);
    old.then(URL.revokeObjectURL, () => {});
  }
  return url;
}

/** An enrolled sample; fetched with the key, which an address in `src` could not carry. */
export function sample(id, alt) {
  const image = h("img", { alt, class: "shot" });
  urlOf(id).then(
    (url) => (image.src = url),
    () => image.classList.add("lost"),
  );
  return image;
}

const watched = new WeakMap();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      watched.get(target)?.();
    }
  },
  { rootMargin: "200px" },
);

/** Do something once an element comes near to what is seen. */
export function whenSeen(element, action) {
  watched.set(element, action);
  watcher.observe(element);
}

/** A picture that a person brought; one that the browser cannot show goes by its name. */
export function brought(url, name) {
  const image = h("img", { alt: name, class: "shot" });
  image.addEventListener("error", () => image.replaceWith(h("span", { className: "shot nameless" }, name)));
  image.src = url;
  return image;
}

const NOISE = 25; // levels of 255 from the ground that are no ink
const LOOK = 160; // pixels, no finer than which the ink is looked for
const LEAST = 1 / 8; // of the longer side: more a dot is not magnified

/**
 * What is left of a picture at a model's input: a square canvas of its size, around the ink where the model frames it,
 * grey where it sees no colour.
 */
export async function asSeen(blob, { size: side, channels, ground, frame }) {
  const bitmap = await createImageBitmap(blob);
  const whole = { x: bitmap.width / 2, y: bitmap.height / 2, side: Math.max(bitmap.width, bitmap.height) };
  const square = (frame && inkSquare(bitmap, ground, frame)) || whole;
  const length = Math.min(Math.max(Math.ceil(square.side), side), Math.max(1024, side));
  let canvas = drawn(bitmap, square, length, ground);
  bitmap.close();
  while (canvas.width > 2 * side) canvas = shrunk(canvas, Math.ceil(canvas.width / 2));
  canvas = shrunk(canvas, side);
  if (channels === 1) grey(canvas);
  return canvas;
}

/** A square of a picture on a canvas of another size; beyond the picture there is ground. */
function drawn(bitmap, square, length, ground) {
  const canvas = h("canvas", { width: length, height: length });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const scale = length / square.side;
  const [left, top] = [length / 2 - square.x * scale, length / 2 - square.y * scale];
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  context.fillStyle = `rgb(${level(ground).join(",")})`;
  context.fillRect(0, 0, length, length);
  context.fillStyle = "#ffffff"; // transparent parts show white
  context.fillRect(left, top, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, width, height);
  return canvas;
}

/** The square around what differs from the ground by more than half of what differs most, or null; as framing.py. */
function inkSquare(bitmap, ground, frame) {
  const longest = Math.max(bitmap.width, bitmap.height);
  const side = Math.min(longest, LOOK);
  const canvas = drawn(bitmap, { x: bitmap.width / 2, y: bitmap.height / 2, side: longest }, side, ground);
  const { data } = canvas.getContext("2d").getImageData(0, 0, side, side);
  const levels = level(ground);
  const differs = Array.from({ length: side * side }, (_, pixel) =>
    Math.max(...levels.map((of, channel) => Math.abs(data[4 * pixel + channel] - of))),
  );
  const most = differs.reduce((one, other) => Math.max(one, other), 0);
  if (most <= NOISE) return null;
  let [left, right, top, bottom] = [side, 0, side, 0];
  differs.forEach((of, pixel) => {
    if (of <= most / 2) return;
    const [x, y] = [pixel % side, Math.floor(pixel / side)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
  });
  const step = longest / side;
  return {
    x: bitmap.width / 2 + ((left + right - side) / 2) * step,
    y: bitmap.height / 2 + ((top + bottom - side) / 2) * step,
    side: Math.max(frame * step * Math.max(right - left, bottom - top), LEAST * longest),
  };
}

const level = (ground) => [0, 1, 2].map((channel) => ground[channel % ground.length]);

function shrunk(canvas, side) {
  const smaller = h("canvas", { width: side, height: side });
  const context = smaller.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, side, side);
  return smaller;
}

function grey(canvas) {
  const context = canvas.getContext("2d");
  const data = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.data.length; i += 4) {
    const [red, green, blue] = data.data.subarray(i, i + 3);
    data.data.fill(0.299 * red + 0.587 * green + 0.114 * blue, i, i + 3);
  }
  context.putImageData(data, 0, 0);
}
