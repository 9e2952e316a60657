// Drawing by hand with mouse, pen or finger. The picture that comes out looks like those that characters are learned
// from: black on white, as wide as they are, with a pen as broad as theirs.

import { h } from "./element.js";

const SIDE = 105; // units a side: the pixels of an Omniglot drawing
const PEN = 3.4; // units; brightness and contrast come out as those of Omniglot's drawings
const STEP = 0.7; // units between two points; a hand trembles below that
const INK = "#14181f";

function trace(context, points) {
  context.beginPath();
  const [first] = points;
  context.moveTo(first.x, first.y);
  if (points.length < 3) {
    const end = points.at(-1);
    context.lineTo(end.x + (points.length === 1 ? 0.01 : 0), end.y);
  } else {
    for (let i = 1; i < points.length - 1; i += 1) {
      const [here, next] = [points[i], points[i + 1]];
      const end = i === points.length - 2 ? next : { x: (here.x + next.x) / 2, y: (here.y + next.y) / 2 };
      context.quadraticCurveTo(here.x, here.y, end.x, end.y);
    }
  }
  context.stroke();
}

function paint(context, strokes, side, ink) {
  context.save();
  context.scale(side / SIDE, side / SIDE);
  context.lineWidth = PEN;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = ink;
  for (const stroke of strokes) trace(context, stroke);
  context.restore();
}

/** Strokes as a PNG of so many pixels a side. */
export async function png(strokes, side = SIDE) {
  const canvas = h("canvas", { width: side, height: side });
  const context = canvas.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, side, side);
  paint(context, strokes, side, "#000000");
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "drawing.png", { type: "image/png" });
}

/**
 * A canvas to draw on.
 * began: a stroke begins; false forbids it. changed: strokes have changed.
 */
export function pad({ label, began, changed }) {
  const canvas = h("canvas", { className: "pad", role: "img", "aria-label": label });
  let strokes = [];
  let current = null;
  let pointer = null;

  function render() {
    const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
    if (!side) return;
    if (canvas.width !== side) [canvas.width, canvas.height] = [side, side];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    paint(context, current ? [...strokes, current] : strokes, side, INK);
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    const inside = (value) => Math.min(SIDE - PEN / 2, Math.max(PEN / 2, value));
    return {
      x: inside(((event.clientX - box.left) / box.width) * SIDE),
      y: inside(((event.clientY - box.top) / box.height) * SIDE),
    };
  }

  function extend(event) {
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) {
      const point = place(one);
      const before = current.at(-1);
      if (Math.hypot(point.x - before.x, point.y - before.y) >= STEP) current.push(point);
    }
    render();
  }

  function end(event) {
    if (event.pointerId !== pointer) return;
    if (event.type !== "pointercancel") strokes.push(current);
    [current, pointer] = [null, null];
    render();
    changed();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0 || !began(event)) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    pointer = event.pointerId;
    current = [place(event)];
    render();
  });
  canvas.addEventListener("pointermove", (event) => event.pointerId === pointer && extend(event));
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  new ResizeObserver(render).observe(canvas);

  return {
    canvas,
    get strokes() {
      return strokes;
    },
    set strokes(value) {
      strokes = [...value]; // whoever gave them keeps theirs
      render();
    },
    undo() {
      strokes = strokes.slice(0, -1);
      render();
      changed();
    },
  };
}
