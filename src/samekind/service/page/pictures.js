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

/** What is left of a picture at a model's input: a square canvas of its size, grey where it sees no colour. */
export async function asSeen(blob, { size: side, channels, ground }) {
  const bitmap = await createImageBitmap(blob);
  const longest = Math.max(bitmap.width, bitmap.height);
  let canvas = h("canvas", { width: Math.min(longest, 1024), height: Math.min(longest, 1024) });
  const context = canvas.getContext("2d");
  const scale = canvas.width / longest;
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const [left, top] = [(canvas.width - width) / 2, (canvas.height - height) / 2];
  context.fillStyle = `rgb(${[0, 1, 2].map((channel) => ground[channel % ground.length]).join(",")})`;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#ffffff"; // transparent parts show white
  context.fillRect(left, top, width, height);
  context.drawImage(bitmap, left, top, width, height);
  bitmap.close();
  while (canvas.width > 2 * side) canvas = shrunk(canvas, Math.ceil(canvas.width / 2));
  canvas = shrunk(canvas, side);
  if (channels === 1) grey(canvas);
  return canvas;
}

function shrunk(canvas, side) {
  const smaller = h("canvas", { width: side, height: side });
  const context = smaller.getContext("2d");
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
