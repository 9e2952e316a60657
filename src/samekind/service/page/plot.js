// The calibration as a picture: from a score to the probability of "same", with its interval and the threshold.

import { h, s } from "./element.js";
import { number, percent } from "./words.js";

const LETTER = 9; // units of width that a letter takes at most, on average
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 14, 26, 46];

/** curve: [{score, probability, low, high}], rising. certified: whether the threshold is. last: {score, probability} of the last pair. */
export function plot({ curve, threshold, certified, last }) {
  const [WIDTH, HEIGHT] = matchMedia("(max-width: 640px)").matches ? [330, 290] : [700, 350];
  const [from, to] = [curve[0].score, curve.at(-1).score];
  const x = (score) => LEFT + ((score - from) / (to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (probability) => TOP + (1 - probability) * (HEIGHT - TOP - BOTTOM);
  const points = (name) => curve.map((point) => `${x(point.score).toFixed(1)},${y(point[name]).toFixed(1)}`);
  const line = (across, className) =>
    s("line", { x1: across, x2: across, y1: TOP, y2: HEIGHT - BOTTOM, class: className });
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => from + share * (to - from));
  const within = (score) => score >= from && score <= to;
  const label = (score, text) => {
    const end = x(score) + LETTER * text.length > WIDTH;
    return s(
      "text",
      { x: x(score) + (end ? -6 : 6), y: TOP - 9, "text-anchor": end ? "end" : "start", class: "mark" },
      text,
    );
  };
  const dot = s("circle", { r: 5, class: "reading" });
  const picture = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "plot",
      role: "img",
      "aria-label": `Probability of same over the score, from ${number(from, 2)} to ${number(to, 2)}. From ${number(threshold, 2)} it says same.`,
    },
    ticks.map((tick) => [
      s("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick), class: "grid" }),
      s("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, `${100 * tick}\u00a0%`),
    ]),
    marks.map((mark) => s("text", { x: x(mark), y: HEIGHT - BOTTOM + 20, "text-anchor": "middle" }, number(mark, 2))),
    s("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "score: larger is more alike"),
    s("polygon", { points: [...points("low"), ...points("high").reverse()].join(" "), class: "band" }),
    s("polyline", { points: points("probability").join(" "), class: "curve" }),
    within(threshold) && [
      line(x(threshold), certified ? "certified-line" : "threshold-line"),
      label(threshold, certified ? "certified threshold" : "threshold"),
    ],
    last && within(last.score) && s("circle", { cx: x(last.score), cy: y(last.probability), r: 5, class: "last" }),
    dot,
  );

  const reading = h("output", { htmlFor: "score" });
  const slider = h("input", { type: "range", id: "score", min: 0, max: curve.length - 1, step: 1 });
  const nearest = (score) =>
    curve.reduce(
      (best, point, index) => (Math.abs(point.score - score) < Math.abs(curve[best].score - score) ? index : best),
      0,
    );
  function read() {
    const point = curve[Number(slider.value)];
    dot.setAttribute("cx", x(point.score));
    dot.setAttribute("cy", y(point.probability));
    reading.textContent = `score ${number(point.score, 2)} → ${percent(point.probability)} same (${percent(point.low)} to ${percent(point.high)})`;
    slider.setAttribute("aria-valuetext", reading.textContent);
  }
  slider.value = nearest(last?.score ?? threshold);
  slider.addEventListener("input", read);
  picture.addEventListener("pointermove", (event) => {
    if (!event.movementX && !event.movementY) return; // the picture came to the pointer, not the pointer to it
    const box = picture.getBoundingClientRect();
    const across = ((event.clientX - box.left) / box.width) * WIDTH;
    slider.value = nearest(from + ((across - LEFT) / (WIDTH - LEFT - RIGHT)) * (to - from));
    read();
  });
  read();
  return h(
    "figure",
    { className: "plot-box card" },
    picture,
    h("div", { className: "read" }, h("label", { htmlFor: "score" }, "Read it at a score"), slider, reading),
  );
}
