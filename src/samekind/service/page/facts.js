// Short facts, each with a name.

import { h } from "./element.js";

/** pairs: of a name and what it is. */
export const facts = (pairs) =>
  h(
    "dl",
    { className: "facts" },
    pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
