// Compare: two wells and what the model says of them.

import * as api from "./api.js";
import { button, h, icon, put } from "./element.js";
import { example } from "./examples.js";
import { facts } from "./facts.js";
import { asSeen } from "./pictures.js";
import { scale } from "./scale.js";
import { failed, waiting } from "./state.js";
import { well } from "./well.js";
import { number, percent } from "./words.js";

const PAUSE = 450; // ms without a stroke before drawings are compared
const MOST = 10;

const SAID = {
  true: { word: "Same", icon: "equal", tone: "right", text: "Both show the same kind of thing." },
  false: { word: "Different", icon: "unequal", tone: "wrong", text: "They show different kinds of things." },
  null: { word: "Cannot tell", icon: "question", tone: "doubt", text: "Rather no answer than a guess." },
};

/** The headline of an answer: a sign, a word and a colour, so that none of them stands alone. */
export function verdict({ word, icon: sign, tone, text }) {
  return h(
    "div",
    { className: `verdict ${tone}` },
    h("span", { className: "sign" }, icon(sign)),
    h("div", {}, h("p", { className: "word" }, word), h("p", {}, text)),
  );
}

/** The probability of "same" at a score, as the calibration states it. */
export function probabilityAt(score, { slope, intercept, bound, prior }) {
  const llr = Math.min(bound, Math.max(-bound, slope * score + intercept));
  return 1 / (1 + Math.exp(-(llr + Math.log(prior / (1 - prior)))));
}

export function compare(section, context) {
  const limits = () => context.model?.limits ?? null;
  const side = () => Math.max(105, context.model?.size ?? 0);
  const query = well({ label: "Query", changed, limits, side });
  const reference = well({ label: "Reference", most: MOST, changed, limits, side });
  const swap = button("Swap", "swap", exchange);
  const again = button("Start over", "clear", restart);
  const status = h("div", { className: "answer card", "aria-live": "polite", role: "region", "aria-label": "Answer" });
  section.append(
    h("div", { className: "pair" }, query.element, h("div", { className: "between" }, swap), reference.element),
    status,
    h("div", { className: "actions centre" }, again),
  );
  let timer = null;
  let running = null;
  idle();

  function idle() {
    swap.disabled = query.empty && reference.empty;
    again.hidden = query.empty && reference.empty;
    const text =
      query.empty === reference.empty
        ? "Put something on both sides: the answer appears here by itself."
        : `Now the other side: the ${query.empty ? "query" : "reference"} is still empty.`;
    put(
      status,
      h(
        "div",
        { className: "idle" },
        h("p", {}, text),
        query.empty && reference.empty && button("Show me an example", "brush", showExample),
      ),
    );
  }

  function showExample() {
    const [left, right] = example();
    query.content = { items: [], strokes: left, drawing: true };
    reference.content = { items: [], strokes: right, drawing: true };
    changed();
  }

  function changed() {
    clearTimeout(timer);
    running?.abort();
    status.ariaBusy = String(!(query.empty || reference.empty)); // what is shown is of what was there before
    if (query.empty || reference.empty) return idle();
    again.hidden = swap.disabled = false;
    if (status.querySelector(".idle")) put(status, waiting("Looking …"));
    timer = setTimeout(run, PAUSE);
    return undefined;
  }

  async function run() {
    running = new AbortController();
    const { signal } = running;
    const [[one], several] = await Promise.all([query.files(), reference.files()]);
    if (signal.aborted) return;
    const wait = setTimeout(() => put(status, waiting("Looking …")), 250);
    try {
      const decision = await api.verify(one, several, signal);
      clearTimeout(wait);
      if (!signal.aborted) show(decision, [one, ...several]);
    } catch (problem) {
      clearTimeout(wait);
      if (!signal.aborted) put(status, failed(problem, run));
    }
    if (!signal.aborted) status.ariaBusy = "false";
  }

  function show(decision, files) {
    const { same, probability, probability_low: low, probability_high: high } = decision;
    const calibration = context.model?.calibration;
    const threshold = calibration ? probabilityAt(decision.threshold, calibration) : null;
    context.last = { score: decision.score, probability };
    const promise =
      decision.certified_fmr === null
        ? "no rate is certified"
        : `at most ${percent(decision.certified_fmr)} of different pairs pass it`;
    put(
      status,
      verdict(SAID[String(same)]),
      h(
        "div",
        { className: "numbers" },
        h(
          "p",
          { className: "probability" },
          h("strong", {}, percent(probability)),
          " probability that they are the same",
          h("span", { className: "note" }, ` 95\u00a0% interval ${percent(low)} to ${percent(high)}`),
        ),
        scale({ probability, low, high, threshold }),
      ),
      decision.reasons.length > 0 &&
        h(
          "ul",
          { className: "reasons" },
          decision.reasons.map((text) => h("li", {}, text)),
        ),
      facts([
        ["Score", number(decision.score)],
        ["Threshold", number(decision.threshold)],
        ["Certified", promise],
        ["Before looking", `${percent(decision.prior)} same`],
      ]),
      judged(files),
    );
  }

  function judged(files) {
    if (!context.model) return "";
    const row = h("ul", { className: "seen" });
    const names = [
      "Query",
      ...files.slice(1).map((_, index) => (files.length > 2 ? `Reference ${index + 1}` : "Reference")),
    ];
    Promise.all(files.map((file) => asSeen(file, context.model).catch(() => null))).then((canvases) => {
      put(
        row,
        ...canvases.map((canvas, index) => {
          canvas?.setAttribute("role", "img");
          canvas?.setAttribute("aria-label", `${names[index]} as the model sees it`);
          return h(
            "li",
            {},
            canvas ?? h("span", { className: "nameless" }, files[index].name),
            h("span", {}, names[index]),
          );
        }),
      );
    });
    const { size, channels, frame } = context.model;
    const colour = `${channels === 1 ? "in grey" : "in colour"}${frame ? ", cut to the ink" : ""}`;
    return h(
      "div",
      { className: "judged" },
      h("h3", {}, "What it was judged on"),
      h("p", { className: "note" }, `${size} × ${size} pixels ${colour}: nothing else reaches the model.`),
      row,
    );
  }

  function exchange() {
    if (reference.total > 1) {
      put(
        status,
        h("p", { className: "idle" }, "A query is one picture: with several references there is nothing to swap with."),
      );
      return;
    }
    const [left, right] = [query.content, reference.content];
    [query.content, reference.content] = [right, left];
    changed();
  }

  function restart() {
    query.reset();
    reference.reset();
    document.getElementById("compare-title").focus();
  }
}
