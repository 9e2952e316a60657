// One identity: its pictures, its notes, adding to it, removing it.

import * as api from "./api.js";
import { button, given, h, put } from "./element.js";
import { facts } from "./facts.js";
import { heading } from "./heading.js";
import { outcomeOf, progressOf } from "./outcome.js";
import { sample, whenSeen } from "./pictures.js";
import { empty, failed, waiting } from "./state.js";
import { upload } from "./upload.js";
import { well } from "./well.js";
import { count, date } from "./words.js";

const MOST = 100;

export function identity(context, removals) {
  const title = h("span", { dir: "auto" }, "");
  const body = h("div", {});
  const status = h("div", { "aria-live": "polite" });
  const strict = h("input", { type: "checkbox", id: "strict-more" });
  const pictures = well({
    label: "Add pictures",
    most: MOST,
    changed: () => (add.disabled = pictures.empty),
    limits: () => context.model?.limits ?? null,
    side: () => Math.max(105, context.model?.size ?? 0),
  });
  const add = button("Add", "add", () => more(), { className: "main", disabled: true });
  const adding = h(
    "div",
    { className: "more-of" },
    pictures.element,
    h("div", { className: "check" }, strict, h("label", { htmlFor: "strict-more" }, "Strict: refuse what looks wrong")),
    h("div", { className: "actions" }, add),
  );
  const element = h(
    "div",
    { className: "one" },
    heading(title, "one-title"),
    status,
    h("div", { className: "one-body" }, body, adding),
  );
  let known = null;

  async function show(id) {
    if (known?.id !== id) {
      pictures.reset();
      put(status);
      title.textContent = "…";
      put(body, waiting("Loading …"));
    }
    adding.hidden = true;
    try {
      known = await api.identity(id);
      render();
    } catch (problem) {
      known = null;
      title.textContent = "Identity";
      put(
        body,
        problem.kind === "gone"
          ? empty(
              "It is not enrolled",
              "It may have been removed in the meantime.",
              h("a", { href: "#gallery", className: "button" }, "Back to the gallery"),
            )
          : failed(problem, () => show(id)),
      );
    }
  }

  function render() {
    title.textContent = known.name;
    adding.hidden = false;
    const items = known.items.filter(({ id }) => !removals.has(id));
    const only = items.length === 1;
    put(
      body,
      facts([
        ["Images", count(items.length)],
        ["Since", date(known.created)],
        ...Object.entries(known.metadata).map(([key, value]) => [given(key), given(value)]),
      ]),
      h(
        "ul",
        { className: "samples" },
        items.map((item, index) => {
          const frame = h("span", { className: "frame" });
          whenSeen(frame, () => frame.append(sample(item.id, `Image ${index + 1} of ${known.name}`)));
          return h(
            "li",
            {},
            frame,
            h(
              "div",
              { className: "person-foot" },
              h("span", { className: "note" }, date(item.created)),
              button(
                "Remove",
                "trash",
                () => {
                  if (only) return leave();
                  removals.sample(item.id, known.name);
                  return render();
                },
                {
                  className: "quiet only-icon",
                  "aria-label": `Remove image ${index + 1}`,
                  title: only ? "Remove the last image, and so the identity" : "Remove",
                },
              ),
            ),
          );
        }),
      ),
      h("div", { className: "actions" }, button(`Remove this identity`, "trash", leave, { className: "danger" })),
    );
  }

  function leave() {
    removals.identity(known);
    location.hash = "#gallery";
  }

  async function more(groups, strictly = strict.checked, earlier = null) {
    add.disabled = true;
    groups ??= [{ id: known.id, name: known.name, files: await pictures.files() }];
    const running = new AbortController();
    const progress = progressOf(groups, () => running.abort());
    put(status, progress.element);
    const outcome = await upload(groups, {
      strict: strictly,
      bounds: context.bounds(),
      signal: running.signal,
      progress: progress.tell,
      earlier,
    });
    const said = outcomeOf(outcome, {
      anyway: (refused) => more(refused, false, outcome),
      undone: () => show(known.id),
    });
    put(status, said);
    said.focus({ preventScroll: true });
    if (outcome.added && !outcome.stopped) pictures.reset();
    add.disabled = pictures.empty;
    show(known.id);
  }

  return { element, show, refresh: () => known && element.offsetParent && render() };
}
