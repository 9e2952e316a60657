// The page: which section is shown, what all of them share, and how problems of the service are told.

import * as api from "./api.js";
import { compare } from "./compare.js";
import { button, h } from "./element.js";
import { gallery } from "./gallery.js";
import { identify } from "./identify.js";
import { askForKey } from "./key.js";
import { model } from "./model.js";
import { failed } from "./state.js";

const SECTIONS = { compare, identify, gallery, model };
const TITLES = { compare: "Compare", identify: "Identify", gallery: "Gallery", model: "Model" };
const banner = document.getElementById("banner");
const busy = h("div", { className: "toast", role: "status" }, h("p", {}));

/** What the sections share: the model that the service runs (null until it answered), the last pair's score. */
const context = { model: null, last: null, refresh, bounds };
const shown = {}; // what a section gave back: {shown()} is called each time that it comes into view

async function refresh() {
  try {
    context.model = await api.model();
    banner.replaceChildren();
    foot();
  } catch (problem) {
    banner.replaceChildren(failed(problem, refresh, problem.kind === "key" ? "Enter a key" : "Try again"));
    return;
  }
  if (current() !== "gallery") shown[current()]?.shown?.();
}

/** What one request may hold: images, and bytes of all of them. */
function bounds() {
  const limits = context.model?.limits ?? {};
  return { most: limits.samples ?? 10, bytes: 0.9 * (limits.body ?? 5e6) }; // the rest is for names and boundaries
}

function foot() {
  const { name, version, fingerprint } = context.model;
  document.getElementById("foot").replaceChildren(
    h(
      "p",
      {},
      "samekind ",
      version,
      " · model ",
      h("strong", {}, name),
      " ",
      h("code", { title: fingerprint }, fingerprint.slice(0, 12)),
      " · ",
      h("a", { href: "openapi.json" }, "API"),
      " · your pictures go to this service only",
    ),
    api.key.get()
      ? button(
          "Forget the key",
          null,
          () => {
            api.key.set("");
            location.reload();
          },
          { className: "quiet" },
        )
      : "",
  );
}

function current() {
  const [name] = location.hash.slice(1).split("/");
  return name in SECTIONS ? name : "compare";
}

function route(byHand) {
  const now = current();
  for (const name of Object.keys(SECTIONS)) {
    document.getElementById(name).hidden = name !== now;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === now) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${TITLES[now]} · samekind`;
  if (byHand) {
    scrollTo(0, 0);
    document.getElementById(`${now}-title`).focus({ preventScroll: true });
  }
  shown[now]?.shown?.(location.hash.slice(now.length + 2), byHand);
}

api.connect(askForKey, (seconds) => {
  busy.firstChild.textContent = `The service is busy. Trying again in ${seconds} s …`;
  if (seconds) document.getElementById("toasts").append(busy);
  else busy.remove();
});
for (const [name, make] of Object.entries(SECTIONS)) shown[name] = make(document.getElementById(name), context);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("content").focus();
});
addEventListener("hashchange", () => route(true));
addEventListener("online", () => context.model === null && refresh());
route(false);
refresh();
