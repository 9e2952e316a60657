// Model: how sure it is, in numbers and in plain words.

import { h, put } from "./element.js";
import { facts } from "./facts.js";
import { plot } from "./plot.js";
import { waiting } from "./state.js";
import { count, duration, many, number, percent } from "./words.js";

const QUESTIONS = {
  koch: "One character by two people, or two characters?",
  lake: "Which of 20 characters of one alphabet is it, after one look at each?",
  "one-shot": "Which of several classes is it, after a look at each?",
  verification: "Pairs of images: one class, or two?",
  "within-alphabet": "Which of 20 characters of one alphabet is it? Many more runs.",
};
const MEASURES = {
  accuracy: "right",
  auc: "area under the ROC curve",
  cllr: "cost of its probabilities, in bits (0 is perfect, 1 worthless)",
  eer: "equal error rate",
  error: "wrong",
  "fnmr@fmr=0.001": "missed at 0.1 % false matches",
  "fnmr@fmr=0.01": "missed at 1 % false matches",
  "fnmr@fmr=0.1": "missed at 10 % false matches",
  min_cllr: "the same, if ideally calibrated",
};
const BITS = new Set(["cllr", "min_cllr"]);

const row = (name, note, value, beside) =>
  h(
    "tr",
    {},
    h("th", { scope: "row" }, name, note && h("span", { className: "note" }, note)),
    h("td", {}, h("strong", {}, value), h("span", { className: "note" }, beside)),
  );

const table = (caption, head, rows) =>
  h(
    "table",
    {},
    h("caption", { className: "unseen" }, caption),
    h(
      "thead",
      { className: head ? "" : "unseen" },
      h(
        "tr",
        {},
        (head ?? ["Measure", "Value and 95\u00a0% interval"]).map((text) => h("th", { scope: "col" }, text)),
      ),
    ),
    h("tbody", {}, rows),
  );

function words(calibration) {
  const one = calibration.certificates.find(({ references, identities }) => references === 1 && identities === 1);
  const odds = count(calibration.classes + 1);
  return h(
    "div",
    { className: "plain" },
    h(
      "p",
      {},
      `Its probabilities were set on ${count(calibration.pairs)} pairs of ${count(calibration.classes)} classes that training never saw (`,
      h("strong", {}, calibration.data),
      `). They hold for images made as those were. It never claims more than odds of ${odds} to 1, because ${count(calibration.classes)} classes cannot prove more.`,
    ),
    one
      ? h(
          "p",
          {},
          h("strong", {}, `At most ${percent(one.target_fmr)} of pairs that are different are called same`),
          `: so it was certified, with ${percent(one.confidence)} confidence. On those classes it was ${percent(one.observed_fmr)}.`,
        )
      : h(
          "p",
          {},
          "No rate of errors is certified for it: its threshold is where “same” becomes the likelier answer. ",
          h("code", {}, "samekind calibrate"),
          " can certify one.",
        ),
    h(
      "p",
      { className: "note" },
      "Other cameras, pens or kinds of things may be harder. Where it sees that an image is unlike all of those, or blank, it says that it cannot tell.",
    ),
  );
}

const span = (values, shown) => {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => shown(value));
  return least === most ? least : `${least} to ${most}`;
};

/** Those that promise the same of as many identities in one row, whatever the number of references. */
function certificates(list) {
  const groups = new Map();
  for (const one of list) {
    const key = [one.identities, one.target_fmr, one.confidence, one.classes].join();
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const rows = [...groups.values()].map((group) => {
    const [one] = group;
    const references = span(
      group.map((each) => each.references),
      count,
    );
    const each = references === "1" ? "1 reference" : `${references} references`;
    return row(
      one.identities > 1
        ? `A search among ${count(one.identities)} identities with ${each} each`
        : `A comparison with ${each}`,
      `from score ${span(
        group.map(({ threshold }) => threshold),
        number,
      )}; on ${count(one.classes)} classes it was ${span(
        group.map((it) => it.observed_fmr),
        percent,
      )}`,
      `≤\u00a0${percent(one.target_fmr)}`,
      `${percent(one.confidence)} confidence`,
    );
  });
  return h(
    "div",
    { className: "table card certified" },
    table("Certified false match rates", ["Of", "False matches"], rows),
  );
}

function evaluation({ protocol, data, n_trials: trials, metrics }) {
  const shown = (name, value) => (BITS.has(name) ? number(value) : percent(value));
  return h(
    "div",
    { className: "table card" },
    h("h3", {}, protocol),
    QUESTIONS[protocol] && h("p", {}, QUESTIONS[protocol]),
    h("p", { className: "note" }, `${data} · ${many(trials, "trial")}`),
    table(
      `Measured by ${protocol}`,
      null,
      Object.entries(metrics).map(([name, { value, low, high }]) =>
        row(MEASURES[name] ?? name, "", shown(name, value), `${shown(name, low)} to ${shown(name, high)}`),
      ),
    ),
  );
}

export function model(section, context) {
  const body = h("div", {}, waiting("Loading …"));
  section.append(body);

  function show() {
    if (!context.model) return;
    const {
      name,
      fingerprint,
      version,
      encoder,
      dim,
      size,
      channels,
      frame,
      calibration,
      provenance,
      evaluations: measured,
      gallery,
    } = context.model;
    const one = calibration?.certificates.find(({ references, identities }) => references === 1 && identities === 1);
    put(
      body,
      calibration
        ? words(calibration)
        : h("p", { className: "notice" }, "This model has no threshold: it can score, but not decide."),
      calibration?.curve?.length
        ? plot({
            curve: calibration.curve,
            threshold: calibration.threshold,
            certified: Boolean(one),
            last: context.last,
          })
        : "",
      h("h2", {}, "Certified"),
      calibration?.certificates.length
        ? certificates(calibration.certificates)
        : h("p", { className: "note" }, "Nothing is certified for this model."),
      h("h2", {}, "Measured"),
      measured?.length
        ? h("div", { className: "protocols" }, measured.map(evaluation))
        : h(
            "p",
            { className: "note" },
            "No evaluation came with this model. ",
            h("code", {}, "samekind evaluate --card"),
            " writes one, for its folder ",
            h("code", {}, "evaluations"),
            ".",
          ),
      h("h2", {}, "Where it comes from"),
      h(
        "div",
        { className: "card" },
        facts([
          ["Model", name],
          ["Fingerprint", h("code", { title: fingerprint }, fingerprint.slice(0, 16))],
          ["Encoder", `${encoder}, ${dim} numbers an image`],
          ["Sees", `${size} × ${size} pixels, ${channels === 1 ? "grey" : "colour"}${frame ? ", cut to the ink" : ""}`],
          provenance && [
            "Trained on",
            `${count(provenance.images)} images of ${count(provenance.classes)} classes of ${provenance.data}`,
          ],
          provenance?.seconds && ["Training", `${duration(provenance.seconds)}, loss ${provenance.loss}`],
          ["samekind", version],
          gallery && [
            "Gallery",
            `${many(gallery.identities, "identity", "identities")}, ${many(gallery.samples, "image")}`,
          ],
        ]),
      ),
    );
  }
  return { shown: show };
}
