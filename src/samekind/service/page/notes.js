// What an owner notes of an identity: names and values, as many as wanted.

import { button, fresh, h } from "./element.js";

export function notes() {
  const rows = h("div", { className: "rows" });

  function add() {
    const [key, value] = [fresh("note"), fresh("note")];
    const row = h(
      "div",
      { className: "row" },
      h("label", { htmlFor: key, className: "unseen" }, "What"),
      h("input", { id: key, type: "text", placeholder: "what", dir: "auto" }),
      h("label", { htmlFor: value, className: "unseen" }, "Value"),
      h("input", { id: value, type: "text", placeholder: "value", dir: "auto" }),
      button(
        "Remove this note",
        "clear",
        () => {
          row.remove();
          more.focus();
        },
        { className: "quiet only-icon" },
      ),
    );
    rows.append(row);
    return row;
  }

  const more = button("One more note", "add", () => add().querySelector("input").focus(), { className: "quiet" });
  const element = h("details", { className: "notes" }, h("summary", {}, "Notes (optional)"), rows, more);
  add();
  return {
    element,
    rows,
    reset() {
      rows.replaceChildren();
      add();
      element.open = false;
    },
  };
}

/** The notes as an object of strings, or undefined where there are none. */
export function metadataOf({ rows }) {
  const pairs = [...rows.children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value.trim()));
  const named = pairs.filter(([key]) => key);
  return named.length ? Object.fromEntries(named) : undefined;
}
