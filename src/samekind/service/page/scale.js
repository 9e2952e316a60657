// A probability with its interval, drawn on a line from different to same.

import { h } from "./element.js";
import { percent } from "./words.js";

const at = (element, low, high) => {
  element.style.insetInlineStart = `${100 * low}%`;
  if (high !== undefined) element.style.inlineSize = `${100 * Math.max(0, high - low)}%`;
  return element;
};

/** threshold: the probability at which it decides, or null where that is not known. */
export function scale({ probability, low, high, threshold }) {
  const told =
    `Probability of same ${percent(probability)}, 95 % interval ${percent(low)} to ${percent(high)}` +
    (threshold === null ? "" : `; from ${percent(threshold)} it says same`);
  return h(
    "figure",
    { className: "scale" },
    h(
      "div",
      { className: "line", role: "img", "aria-label": told },
      at(h("span", { className: "interval" }), low, high),
      threshold !== null &&
        at(
          h(
            "span",
            { className: `threshold ${threshold > 0.7 ? "late" : threshold < 0.3 ? "early" : ""}` },
            h("span", {}, "decides here"),
          ),
          threshold,
        ),
      at(h("span", { className: "dot" }), probability),
    ),
    h(
      "div",
      { className: "ends", "aria-hidden": "true" },
      h("span", {}, "0\u00a0% different"),
      h("span", {}, "same 100\u00a0%"),
    ),
  );
}
