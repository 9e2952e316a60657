// The question for an API key. The key stays in this tab.

import { key } from "./api.js";
import { button, h } from "./element.js";

let open = null; // a promise while the question stands

/** Ask for a key; true once there is one, false where the person declines. refused: the last one was not accepted. */
export function askForKey(refused) {
  open ??= ask(refused).finally(() => (open = null));
  return open;
}

function ask(refused) {
  const field = h("input", { type: "password", id: "key", autocomplete: "off", required: true, spellcheck: false });
  field.setAttribute("aria-describedby", "key-note");
  const dialog = h(
    "dialog",
    { className: "card small", "aria-labelledby": "key-title" },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: "key-title" }, "This service asks for a key"),
      h(
        "p",
        { id: "key-note" },
        "Whoever runs it made one with ",
        h("code", {}, "samekind keys create"),
        ". It is kept in this tab only, and forgotten when you close it.",
      ),
      refused &&
        h(
          "p",
          { className: "complaint", role: "alert" },
          "The last key was not accepted: it is mistyped or was revoked.",
        ),
      h("label", { htmlFor: "key" }, "API key"),
      field,
      h(
        "div",
        { className: "actions" },
        button("Not now", null, () => dialog.close("")),
        h("button", { type: "submit", className: "main", value: "key" }, "Use this key"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "key" ? field.value.trim() : "";
      if (given) key.set(given);
      dialog.remove();
      resolve(Boolean(given));
    });
  });
}
