// Adding to the gallery: one identity with its pictures, or a folder with one sub-folder an identity.

import { button, given, h, icon, put } from "./element.js";
import { heading } from "./heading.js";
import { metadataOf, notes } from "./notes.js";
import { outcomeOf, progressOf } from "./outcome.js";
import { groupsOf, groupsOfFolder, upload } from "./upload.js";
import { well } from "./well.js";
import { many } from "./words.js";

const MOST = 100; // pictures that are shown before they are added; a folder may hold more
const NAME = 200; // characters

const byName = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });

export function adding(context) {
  let plan = null; // groups of a folder
  let running = null;

  const name = h("input", {
    type: "text",
    id: "name",
    maxLength: NAME,
    autocomplete: "off",
    spellcheck: false,
    dir: "auto",
    oninput: check,
  });
  const pictures = well({
    label: "Pictures",
    most: MOST,
    changed: check,
    limits: () => context.model?.limits ?? null,
    side: () => Math.max(105, context.model?.size ?? 0),
    folders: take,
  });
  const rows = notes();
  const strict = h("input", { type: "checkbox", id: "strict" });
  const folder = h("input", {
    type: "file",
    multiple: true,
    hidden: true,
    webkitdirectory: true,
    onchange: () => {
      planned(groupsOfFolder([...folder.files]));
      folder.value = "";
    },
  });
  const list = h("ul", { className: "plan", tabIndex: 0, "aria-label": "What will be added" });
  const planBox = h(
    "div",
    { className: "card plan-box", hidden: true },
    h(
      "div",
      { className: "well-head" },
      h("h3", {}, "From your folder"),
      button("Forget it", "clear", () => planned(null), { className: "quiet" }),
    ),
    list,
  );
  const single = h(
    "div",
    { className: "single" },
    h("label", { htmlFor: "name" }, "Name"),
    name,
    h("p", { className: "note" }, "If the name is enrolled already, the pictures are added to it."),
    pictures.element,
  );
  const status = h("div", { "aria-live": "polite" });
  const go = h("button", { type: "submit", className: "main" }, icon("add"), h("span", {}, "Add"));
  const form = h(
    "form",
    { noValidate: true, onsubmit: submit },
    single,
    planBox,
    h(
      "p",
      { className: "folder" },
      button("Choose a folder", "folder", () => folder.click()),
      folder,
      h("span", { className: "note" }, "One sub-folder an identity. You can drop one, too."),
    ),
    rows.element,
    h(
      "div",
      { className: "check" },
      strict,
      h(
        "label",
        { htmlFor: "strict" },
        "Strict: refuse what looks wrong",
        h("span", { className: "note" }, "Otherwise it is added, and you are told."),
      ),
    ),
    h("div", { className: "actions" }, go),
  );
  const element = h("div", { className: "adding" }, heading("Add to the gallery", "adding-title"), status, form);
  check();

  function check() {
    const ready = plan ? plan.length > 0 : name.value.trim() && !pictures.empty;
    go.disabled = !ready || running !== null;
    const images = plan ? plan.reduce((sum, { files }) => sum + files.length, 0) : pictures.total;
    go.lastChild.textContent =
      plan && plan.length > 1
        ? `Add ${many(plan.length, "identity", "identities")}, ${many(images, "image")}`
        : images
          ? `Add ${many(images, "image")}`
          : "Add";
  }

  function planned(groups) {
    if (groups) put(status);
    const named = groups?.filter((group) => group.files.length);
    if (named?.length === 1 && (named[0].files.length <= MOST || !named[0].name)) {
      [plan, planBox.hidden, single.hidden] = [null, true, false];
      if (named[0].name && !name.value.trim()) name.value = named[0].name.slice(0, NAME);
      pictures.add(named[0].files);
    } else {
      plan = named?.length ? named.map((group) => ({ ...group, name: group.name || "unnamed" })).sort(byName) : null;
      if (groups && !plan)
        put(status, h("p", { className: "notice", role: "alert" }, "There is no picture in that folder."));
      planBox.hidden = !plan;
      single.hidden = Boolean(plan);
      put(
        list,
        ...(plan ?? []).map((group) =>
          h(
            "li",
            {},
            given(group.name, { dir: "auto" }),
            h("span", { className: "note" }, many(group.files.length, "image")),
          ),
        ),
      );
    }
    check();
  }

  function take(dataTransfer) {
    groupsOf(dataTransfer).then(planned);
  }

  async function submit(event) {
    event.preventDefault();
    const metadata = metadataOf(rows);
    const groups = plan ?? [{ name: name.value.trim(), files: await pictures.files() }];
    await run(groups, { strict: strict.checked, metadata });
  }

  async function run(groups, options) {
    running = new AbortController();
    form.hidden = true;
    const progress = progressOf(groups, () => running.abort());
    put(status, progress.element);
    scrollTo(0, 0);
    const outcome = await upload(groups, {
      ...options,
      bounds: context.bounds(),
      signal: running.signal,
      progress: progress.tell,
    });
    running = null;
    form.hidden = false;
    const said = outcomeOf(outcome, {
      anyway: (refused) => run(refused, { ...options, strict: false, earlier: outcome }),
      undone: () => context.refresh(),
    });
    put(status, said);
    said.focus({ preventScroll: true });
    if (outcome.added && !outcome.stopped) {
      pictures.reset();
      rows.reset();
      name.value = "";
      planned(null);
    }
    check();
    context.refresh();
  }

  addEventListener("beforeunload", (event) => running && event.preventDefault());
  return { element, show: () => running ?? put(status), take };
}
