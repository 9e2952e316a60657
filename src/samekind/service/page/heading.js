// The heading of a view of the gallery.

import { h } from "./element.js";

/** The heading of a view, which takes the focus when the view is opened, and the way back. */
export const heading = (text, id) =>
  h(
    "div",
    { className: "view-head" },
    h("a", { href: "#gallery", className: "back" }, "← Gallery"),
    h("h2", { id, tabIndex: -1, className: "view-title" }, text),
  );
