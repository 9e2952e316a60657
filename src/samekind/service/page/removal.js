// Removing with a way back: nothing is sent until the time to take it back is over.

import * as api from "./api.js";
import { given, h } from "./element.js";
import { toast } from "./toast.js";

/** changed: called when something is hidden, shown again or really gone. */
export function removal(changed) {
  const hidden = new Set();

  /** kind: "identities" or "samples". what: for a person. */
  function remove(kind, id, what) {
    hidden.add(id);
    changed();
    toast(h("span", {}, "Removed ", what, "."), {
      undo() {
        hidden.delete(id);
        changed();
      },
      settled() {
        // keepalive: it may be the last thing that this page does
        api.remove(kind, id, true).then(changed, (problem) => {
          hidden.delete(id);
          if (problem.kind !== "gone")
            toast(h("span", {}, "Not removed: ", what, ". ", problem.message), { wrong: true });
          changed();
        });
      },
    });
  }

  return {
    identity: ({ id, name }) => remove("identities", id, given(name)),
    sample: (id, name) => remove("samples", id, h("span", {}, "an image of ", given(name))),
    has: (id) => hidden.has(id),
  };
}
