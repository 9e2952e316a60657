// All identities, by name, a page at a time.

import * as api from "./api.js";
import { button, given, h, icon, put } from "./element.js";
import { sample, whenSeen } from "./pictures.js";
import { empty, failed, waiting } from "./state.js";
import { count, many } from "./words.js";

const PAGE = 24;
const MOST = 200; // that the service lists at a time
const PAUSE = 250; // ms without a key before a search

export function listing(context, removals) {
  let known = []; // those that are shown, in their order
  let next = null;
  let total = 0;
  let running = null;
  let timer = null;
  let left = 0; // where the page was scrolled to when one was opened

  const field = h("input", {
    type: "search",
    id: "search",
    placeholder: "Search by name",
    autocomplete: "off",
    spellcheck: false,
    dir: "auto",
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => load(true), PAUSE);
    },
  });
  const tally = h("p", { className: "note", role: "status" });
  const grid = h("ul", { className: "people" });
  const foot = h("div", { className: "more" });
  const element = h(
    "div",
    {},
    h(
      "div",
      { className: "gallery-bar" },
      h(
        "div",
        { className: "search" },
        icon("search"),
        h("label", { htmlFor: "search", className: "unseen" }, "Search by name"),
        field,
      ),
      h("a", { href: "#gallery/add", className: "button main" }, icon("add"), h("span", {}, "Add")),
    ),
    tally,
    grid,
    foot,
  );

  async function load(afresh, limit = PAGE) {
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    const search = field.value.trim();
    const wait = setTimeout(() => put(foot, waiting("Loading …")), 250);
    try {
      const page = await api.identities({ after: afresh ? null : next, limit, search }, signal);
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
      if (!signal.aborted)
        put(
          foot,
          failed(problem, () => load(afresh)),
        );
    } finally {
      clearTimeout(wait);
    }
  }

  function tell(search) {
    const here = known.filter(({ id }) => !removals.has(id)).length;
    const all = search ? here : total - (known.length - here);
    if (!here) tally.textContent = "";
    else if (!search) tally.textContent = `${count(here)} of ${many(all, "identity", "identities")}`;
    else
      tally.textContent =
        next === null ? `${many(here, "name matches", "names match")}` : `the first ${count(here)} names that match`;
    if (here || next !== null) {
      put(
        foot,
        next !== null &&
          button(search ? "Show more" : `Show ${count(Math.min(PAGE, all - here))} more`, null, () => load(false)),
      );
    } else if (search) {
      put(
        foot,
        empty(
          "No such name",
          "Nobody's name matches what you typed.",
          button("Show all", null, () => {
            field.value = "";
            load(true);
            field.focus();
          }),
        ),
      );
    } else {
      put(
        foot,
        empty(
          "Nobody is enrolled yet",
          "Add people, parts, plants, signatures: whatever you want to find again. One picture each is enough; a few are better.",
          h("a", { href: "#gallery/add", className: "button main" }, icon("add"), h("span", {}, "Add the first")),
        ),
      );
    }
  }

  function card(one) {
    const frame = h("span", { className: "frame" });
    const link = h(
      "a",
      { href: `#gallery/${one.id}`, className: "open", onclick: () => (left = scrollY) },
      frame,
      given(one.name, { className: "name", dir: "auto" }),
    );
    const item = h(
      "li",
      { className: "person card" },
      link,
      h(
        "div",
        { className: "person-foot" },
        h("span", { className: "note" }, many(one.samples, "image")),
        button(
          "Remove",
          "trash",
          () => {
            const beside = item.nextElementSibling ?? item.previousElementSibling;
            removals.identity(one);
            (beside?.querySelector("a") ?? field).focus();
          },
          { className: "quiet only-icon", "aria-label": `Remove ${one.name}`, title: "Remove" },
        ),
      ),
    );
    item.dataset.id = one.id;
    whenSeen(item, () =>
      api.identity(one.id).then(
        ({ items }) => items.length && put(frame, sample(items[0].id, "")),
        () => frame.classList.add("lost"),
      ),
    );
    return item;
  }

  function hide() {
    for (const item of grid.children) item.hidden = removals.has(item.dataset.id);
  }

  return {
    element,
    /** As far as it was shown before, and where. */
    async show() {
      await load(true, Math.min(MOST, Math.max(PAGE, known.length)));
      scrollTo(0, left);
      left = 0;
    },
    /** After a removal, or after one was taken back. */
    refresh() {
      hide();
      tell(field.value.trim());
    },
  };
}
