// Gallery: which of its three views is shown: all identities, one of them, or adding.

import { adding } from "./adding.js";
import { identity } from "./identity.js";
import { listing } from "./listing.js";
import { removal } from "./removal.js";

export function gallery(section, context) {
  const removals = removal(() => {
    list.refresh();
    one.refresh();
  });
  const list = listing(context, removals);
  const add = adding(context);
  const one = identity(context, removals);
  const views = { list, add, one };
  section.append(...Object.values(views).map((view) => view.element));

  // pictures that are dropped on the gallery are meant for it
  section.addEventListener(
    "dragover",
    (event) => [...event.dataTransfer.types].includes("Files") && event.preventDefault(),
  );
  section.addEventListener("drop", (event) => {
    if (event.defaultPrevented || !views.list.element.offsetParent) return;
    event.preventDefault();
    add.take(event.dataTransfer);
    location.hash = "#gallery/add";
  });

  return {
    shown(rest, byHand) {
      const name = !rest ? "list" : rest === "add" ? "add" : "one";
      for (const [key, view] of Object.entries(views)) view.element.hidden = key !== name;
      document.getElementById("gallery-title").hidden = name !== "list";
      views[name].show(rest);
      if (byHand && name !== "list") views[name].element.querySelector("h2").focus({ preventScroll: true });
    },
  };
}
