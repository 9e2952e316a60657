// Identify: one picture against the whole gallery.

import * as api from "./api.js";
import { verdict } from "./compare.js";
import { button, given, h, put } from "./element.js";
import { facts } from "./facts.js";
import { sample, whenSeen } from "./pictures.js";
import { empty, failed, waiting } from "./state.js";
import { well } from "./well.js";
import { count, many, number, percent } from "./words.js";

const PAUSE = 450; // ms
const TOP = 8;

const SAID = {
  found: { icon: "check", tone: "right" },
  nobody: { icon: "nobody", tone: "wrong" },
  "cannot tell": { icon: "question", tone: "doubt" },
};

function words({ answer, candidates, identities, threshold }) {
  const [first] = candidates;
  if (answer === "found")
    return { word: given(first.name), text: `Found among ${many(identities, "identity", "identities")}.` };
  if (answer === "cannot tell")
    return { word: "Cannot tell", text: "Rather no answer than a guess. Why, is said below." };
  const among = identities === 1 ? "The one identity that is enrolled" : `The most alike of ${count(identities)}`;
  return {
    word: "Nobody here",
    text: `${among} scores ${number(first.score)}; it takes ${number(threshold)} to be found.`,
  };
}

export function identify(section, context) {
  const limits = () => context.model?.limits ?? null;
  const side = () => Math.max(105, context.model?.size ?? 0);
  const query = well({ label: "Picture", changed, limits, side });
  const answer = h("div", { className: "answer card", "aria-live": "polite", role: "region", "aria-label": "Answer" });
  section.append(h("div", { className: "asked" }, query.element, answer));
  let timer = null;
  let running = null;

  function idle() {
    if (context.model && !context.model.gallery) {
      put(answer, empty("This service has no gallery", "It compares, but knows nobody to search for."));
      return;
    }
    const enrolled = context.model?.gallery?.identities;
    if (enrolled === 0) {
      put(
        answer,
        empty(
          "Nobody is enrolled yet",
          "Add somebody or something to the gallery first; one picture each is enough.",
          h("a", { href: "#gallery/add", className: "button main" }, "Add to the gallery"),
        ),
      );
      return;
    }
    const text = enrolled
      ? `The answer appears here by itself: ${many(enrolled, "identity is", "identities are")} enrolled.`
      : "The answer appears here by itself.";
    put(answer, h("p", { className: "idle" }, text));
  }

  function changed() {
    clearTimeout(timer);
    running?.abort();
    answer.ariaBusy = String(!query.empty); // what is shown is of what was there before
    if (query.empty) idle();
    else {
      if (answer.querySelector(".idle")) put(answer, waiting("Searching …"));
      timer = setTimeout(run, PAUSE);
    }
  }

  async function run() {
    running = new AbortController();
    const { signal } = running;
    const [file] = await query.files();
    const wait = setTimeout(() => put(answer, waiting("Searching …")), 250);
    try {
      const found = await api.identify(file, TOP, signal);
      if (!signal.aborted) show(found);
    } catch (problem) {
      if (!signal.aborted) put(answer, failed(problem, run));
    }
    clearTimeout(wait);
    if (!signal.aborted) answer.ariaBusy = "false";
  }

  function show(found) {
    if (!found.identities) {
      put(
        answer,
        empty(
          "Nobody here",
          "The gallery is empty, so nobody can be found.",
          h("a", { href: "#gallery/add", className: "button main" }, "Add to the gallery"),
        ),
      );
      return;
    }
    const promise =
      found.certified_fpir === null
        ? "no rate is certified"
        : `at most ${percent(found.certified_fpir)} of searches for somebody unknown find anybody`;
    put(
      answer,
      verdict({ ...SAID[found.answer], ...words(found) }),
      found.reasons.length > 0 &&
        h(
          "ul",
          { className: "reasons" },
          found.reasons.map((text) => h("li", {}, text)),
        ),
      h("h3", {}, "Most alike"),
      h(
        "ol",
        { className: "candidates" },
        found.candidates.map((one, rank) => candidate(one, rank, found)),
      ),
      facts([
        ["Threshold", number(found.threshold)],
        ["Searched", many(found.identities, "identity", "identities")],
        ["Certified", promise],
        ["Before looking", `${percent(found.prior)} somebody enrolled`],
      ]),
      h(
        "div",
        { className: "actions" },
        button("Start over", "clear", () => query.reset()),
      ),
    );
  }

  function candidate(one, rank, found) {
    const frame = h("span", { className: "frame" });
    const bar = h("span", { className: "fill" });
    bar.style.inlineSize = `${100 * one.probability}%`;
    const item = h(
      "li",
      { className: rank === 0 && found.answer === "found" ? "chosen" : "" },
      frame,
      h(
        "div",
        { className: "who" },
        h("p", {}, h("a", { href: `#gallery/${one.id}` }, given(one.name)), h("strong", {}, percent(one.probability))),
        h("span", { className: "bar-of", "aria-hidden": "true" }, bar),
        h("p", { className: "note" }, `score ${number(one.score)} · ${many(one.samples, "image")}`),
      ),
    );
    whenSeen(item, () =>
      api.identity(one.id).then(
        ({ items }) => items.length && frame.append(sample(items[0].id, `Enrolled image of ${one.name}`)),
        () => frame.classList.add("lost"),
      ),
    );
    return item;
  }

  idle();
  return { shown: () => query.empty && idle() };
}
