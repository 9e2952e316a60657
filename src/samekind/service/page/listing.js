// All identities, by name, a page at a time.

import * as api from "./api.js";
import { button, given, h, icon, put } from "./element.js";
import { sample, whenSeen } from "./pictures.js";
import { empty, failed, waiting } from "./state.js";
import { count, many } from "./words.js";

const PAGE = 24;
const PAUSE = 250; // ms without a key before a search

export function listing(context, removals) {
  let known = []; // those that are shown, in their order
  let next = null;
  let total = 0;
  let running = null;
  let timer = null;

  const field = h("input", {
    type: "search", id: "search", placeholder: "Search by name", autocomplete: "off", spellcheck: false, dir: "auto",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => load(true), PAUSE);
    },
  });
  const tally = h("p", { className: "note", role: "status" });
  const grid = h("ul", { className: "people" });
  const foot = h("div", { className: "more" });
  const element = h("div", {},
    h("div", { className: "gallery-bar" },
      h("div", { className: "search" }, icon("search"), h("label", { htmlFor: "search", className: "unseen" }, "Search by name"), field),
      h("a", { href: "#gallery/add", className: "button main" }, icon("add"), h("span", {}, "Add"))),
    tally, grid, foot);

  async function load(afresh) {
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    const search = field.value.trim();
    const wait = setTimeout(() => put(foot, waiting("Loading …")), 250);
    try {
      const page = await api.identities({ after: afresh ? null : next, limit: PAGE, search }, signal);
      if (signal.aborted) return;
      const from = afresh ? 0 : known.length;
      known = afresh ? page.identities : [...known, ...page.identities];
      ({ next, total } = page);
      if (afresh) put(grid);
      grid.append(...page.identities.map(card));
      hide();
      tell(search);
      if (from) grid.children[from]?.querySelector("a").focus();
    } catch (problem) {
      if (!signal.aborted) put(foot, failed(problem, () => load(afresh)));
    } finally {
      clearTimeout(wait);
    }
  }

  function tell(search) {
    const left = known.filter(({ id }) => !removals.has(id)).length;
    const all = search ? left : total - (known.length - left);
    if (!left) tally.textContent = "";
    else if (!search) tally.textContent = `${count(left)} of ${many(all, "identity", "identities")}`;
    else tally.textContent = next === null ? `${many(left, "name matches", "names match")}` : `the first ${count(left)} names that match`;
    if (left || next !== null) {
      put(foot, next !== null && button(search ? "Show more" : `Show ${count(Math.min(PAGE, all - left))} more`, null, () => load(false)));
    } else if (search) {
      put(foot, empty("No such name", "Nobody's name matches what you typed.", button("Show all", null, () => {
        field.value = "";
        load(true);
        field.focus();
      })));
    } else {
      put(foot, empty("Nobody is enrolled yet",
        "Add people, parts, plants, signatures: whatever you want to find again. One picture each is enough; a few are better.",
        h("a", { href: "#gallery/add", className: "button main" }, icon("add"), h("span", {}, "Add the first"))));
    }
  }

  function card(one) {
    const frame = h("span", { className: "frame" });
    const link = h("a", { href: `#gallery/${one.id}`, className: "open" }, frame, given(one.name, { className: "name", dir: "auto" }));
    const item = h("li", { className: "person card" }, link,
      h("div", { className: "person-foot" }, h("span", { className: "note" }, many(one.samples, "image")),
        button("Remove", "trash", () => {
          const beside = item.nextElementSibling ?? item.previousElementSibling;
          removals.identity(one);
          (beside?.querySelector("a") ?? field).focus();
        }, { className: "quiet only-icon", "aria-label": `Remove ${one.name}`, title: "Remove" })));
    item.dataset.id = one.id;
    whenSeen(item, () => api.identity(one.id).then(
      ({ items }) => items.length && put(frame, sample(items[0].id, "")),
      () => frame.classList.add("lost"),
    ));
    return item;
  }

  function hide() {
    for (const item of grid.children) item.hidden = removals.has(item.dataset.id);
  }

  return {
    element,
    show: () => load(true),
    /** After a removal, or after one was taken back. */
    refresh() {
      hide();
      tell(field.value.trim());
    },
  };
}
