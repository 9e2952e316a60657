// States of a part of the page that are no result: waiting, failed, empty.

import { button, h, icon } from "./element.js";

/** Something is under way. */
export const waiting = (text) =>
  h("p", { className: "waiting" }, h("span", { className: "spin", "aria-hidden": "true" }), text);

/** A problem, in words, with a way on. */
export function failed(problem, again, word = "Try again") {
  const known = problem.kind !== undefined;
  if (!known) console.error(problem);
  return h(
    "div",
    { className: "notice wrong", role: "alert" },
    icon("warn"),
    h("div", {}, h("strong", {}, known ? problem.title : "The page failed"), h("p", {}, problem.message)),
    again && button(word, null, again),
  );
}

/** Nothing is here yet. */
export const empty = (title, text, ...actions) =>
  h(
    "div",
    { className: "nothing" },
    h("strong", {}, title),
    h("p", {}, text),
    actions.length > 0 && h("div", { className: "actions" }, actions),
  );
