// A place for pictures: drop, choose, paste, or draw by hand. Knows files and strokes; knows nothing of the service.

import * as draw from "./draw.js";
import { button, fresh, h, icon } from "./element.js";
import { brought } from "./pictures.js";
import { count, many } from "./words.js";

const wells = new Set();
let touched = null; // the well that a pasted picture goes to

const shown = (well) => well.element.isConnected && well.element.offsetParent !== null;

/** The well that a picture without an address goes to: the one in use, else the first that is empty. */
function target() {
  const open = [...wells].filter(shown);
  const modal = open.filter((well) => well.element.closest("dialog[open]"));
  const candidates = modal.length ? modal : open;
  const active = candidates.find((well) => well.element.contains(document.activeElement));
  return (
    active ?? candidates.find((well) => well.empty) ?? candidates.find((well) => well === touched) ?? candidates[0]
  );
}

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length) return;
  const well = target();
  if (!well) return;
  event.preventDefault();
  well.add(files);
});
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (event.defaultPrevented || ![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault(); // a picture dropped beside a well must not take the page's place
    if (kind === "drop") target()?.add([...event.dataTransfer.files]);
  });
}

/**
 * A well.
 * label: what its pictures are. most: how many it takes. hint: a line under the label. changed: called when its
 * pictures change. limits: () => what the service takes, or null. side: () => pixels of a drawing. folders: takes the
 * dataTransfer of a drop that holds a folder.
 */
export function well({
  label,
  hint = "",
  most = 1,
  changed = () => {},
  limits = () => null,
  side = () => 105,
  folders = null,
}) {
  const title = fresh("well");
  let items = []; // {file, url}
  let drawing = false;

  const head = h("h2", { id: title }, label);
  const tally = h("span", { className: "tally" });
  const complaint = h("p", { className: "complaint", role: "alert" });
  const list = h("ul", { className: "shots", "aria-label": `${label}: pictures` });
  const prompt = h(
    "div",
    { className: "prompt", "aria-hidden": "true" },
    icon("brush"),
    h("strong", {}, "Draw here"),
    h("span", {}, `or drop, choose, paste ${most > 1 ? "pictures" : "a picture"}`),
  );
  const pad = draw.pad({
    label: `${label}: a place to draw with mouse, pen or finger. With a keyboard, use “Choose” below.`,
    began: (event) => {
      touched = self;
      if (drawing) return true;
      if (event.pointerType === "touch") return false; // a finger scrolls until it was said to draw
      start();
      return true;
    },
    changed: () => update(true),
  });
  pad.canvas.addEventListener("click", () => !drawing && start());
  const chooser = h("input", {
    type: "file",
    accept: "image/*",
    multiple: most > 1,
    hidden: true,
    onchange: () => {
      add([...chooser.files]);
      chooser.value = "";
    },
  });
  const drawButton = button("Draw", "brush", () => start());
  const choose = button("Choose", "image", () => chooser.click());
  const paste = button("Paste", "paste", fromClipboard);
  const another = button("Next", "add", () => keep(), { title: "Keep this drawing and draw another" });
  const undo = button("Undo", "undo", () => pad.undo(), { title: "Take back the last stroke" });
  const clear = button("Clear", "clear", () => back());
  const tools = h("div", { className: "tools" }, drawButton, choose, paste, undo, another, clear, chooser);
  for (const one of tools.querySelectorAll("button")) one.setAttribute("aria-describedby", title);
  const paper = h("div", { className: "paper" }, pad.canvas, prompt, list);
  const element = h(
    "section",
    { className: "well card", role: "group", "aria-labelledby": title, tabIndex: -1 },
    h("div", { className: "well-head" }, head, tally),
    hint && h("p", { className: "hint" }, hint),
    paper,
    tools,
    complaint,
  );

  function start() {
    touched = self;
    if (items.length >= most && most > 1) return complain(`${count(most)} pictures are the most here.`);
    if (most === 1) drop();
    drawing = true;
    update(false);
    if (document.activeElement === document.body) undo.focus({ preventScroll: true });
    return true;
  }

  function keep() {
    const strokes = pad.strokes;
    if (!strokes.length) return;
    draw.png(strokes, side()).then((file) => {
      items.push({ file, url: URL.createObjectURL(file) });
      pad.strokes = [];
      if (items.length >= most) drawing = false;
      update(true);
    });
  }

  function drop() {
    for (const { url } of items) URL.revokeObjectURL(url);
    items = [];
  }

  function complain(text) {
    complaint.textContent = text;
    return false;
  }

  function add(files) {
    complaint.textContent = "";
    const bound = limits()?.body;
    const wrong = files.filter((file) => !file.size || (file.type && !file.type.startsWith("image/")));
    const large = files.filter((file) => bound && file.size > bound);
    const fitting = files.filter((file) => !wrong.includes(file) && !large.includes(file));
    if (wrong.length)
      complain(`No picture: ${wrong[0].name}${wrong.length > 1 ? ` and ${wrong.length - 1} more` : ""}.`);
    else if (large.length)
      complain(
        `Too large: ${large[0].name} has ${Math.ceil(large[0].size / 1e6)} MB, the service takes ${Math.floor(bound / 1e6)} MB.`,
      );
    if (!fitting.length) return;
    const hand = drawing && pad.strokes.length > 0;
    if (most === 1) {
      drop();
      if (fitting.length > 1) complain("Only one picture fits here: the first was taken.");
    }
    const room = most - items.length - (hand && most > 1 ? 1 : 0);
    if (most > 1 && fitting.length > room)
      complain(`${count(most)} pictures are the most here: ${many(fitting.length - room, "was", "were")} left out.`);
    if (hand && most > 1) keep();
    else pad.strokes = [];
    drawing = false;
    items.push(...fitting.slice(0, Math.max(0, room)).map((file) => ({ file, url: URL.createObjectURL(file) })));
    touched = self;
    update(true);
  }

  async function fromClipboard() {
    touched = self;
    try {
      const files = [];
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((one) => one.startsWith("image/"));
        if (type) files.push(new File([await item.getType(type)], "pasted.png", { type }));
      }
      if (files.length) add(files);
      else complain("There is no picture in the clipboard.");
    } catch {
      complain("The browser does not let this page read the clipboard: press Ctrl+V (or ⌘V) instead.");
    }
  }

  function reset() {
    const focused = tools.contains(document.activeElement);
    drop();
    pad.strokes = [];
    drawing = false;
    complaint.textContent = "";
    update(true);
    if (focused) choose.focus();
  }

  function back() {
    if (!drawing) return reset();
    if (pad.strokes.length) pad.strokes = [];
    else drawing = false;
    update(true);
    return undefined;
  }

  function update(news) {
    const state = drawing ? "draw" : items.length ? "pictures" : "empty";
    const had = document.activeElement;
    element.dataset.state = state;
    element.dataset.many = Math.min(items.length, 10);
    const strokes = pad.strokes.length;
    prompt.hidden = state === "pictures" || strokes > 0;
    pad.canvas.toggleAttribute("hidden", state === "pictures");
    list.hidden = !items.length;
    list.replaceChildren(
      ...items.map(({ file, url }, index) =>
        h(
          "li",
          {},
          brought(url, file.name),
          button(`Remove ${file.name}`, "clear", () => take(index), { className: "over" }),
        ),
      ),
    );
    const full = items.length >= most;
    drawButton.hidden = drawing || (full && most > 1);
    drawButton.lastChild.textContent = items.length && most > 1 ? "Draw one more" : "Draw";
    choose.hidden = drawing;
    paste.hidden = drawing || !navigator.clipboard?.read;
    choose.lastChild.textContent = items.length ? (most > 1 ? "Add" : "Replace") : "Choose";
    undo.hidden = !drawing;
    undo.disabled = !strokes;
    another.hidden = !(drawing && most > 1);
    another.disabled = !strokes;
    clear.hidden = state === "empty" || (state === "pictures" && items.length === 1);
    clear.lastChild.textContent = drawing && !strokes ? "Back" : "Clear";
    const total = items.length + (strokes ? 1 : 0);
    tally.textContent = most > 1 && total > 1 ? count(total) : "";
    if (had && had !== document.activeElement) (drawing ? clear : choose).focus({ preventScroll: true });
    if (news) changed();
  }

  function take(index) {
    const focused = list.contains(document.activeElement);
    URL.revokeObjectURL(items[index].url);
    items.splice(index, 1);
    update(true);
    if (focused) (list.querySelectorAll("button")[Math.min(index, items.length - 1)] ?? choose).focus();
  }

  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    element.classList.add("over-it");
  });
  element.addEventListener(
    "dragleave",
    (event) => element.contains(event.relatedTarget) || element.classList.remove("over-it"),
  );
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over-it");
    const folder = [...event.dataTransfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    if (folder && folders) folders(event.dataTransfer);
    else add([...event.dataTransfer.files]);
  });
  element.addEventListener("keydown", (event) => {
    if (drawing && (event.ctrlKey || event.metaKey) && event.key === "z" && pad.strokes.length) {
      event.preventDefault();
      pad.undo();
    }
  });

  const self = {
    element,
    add,
    reset,
    get empty() {
      return !items.length && !pad.strokes.length;
    },
    get total() {
      return items.length + (pad.strokes.length ? 1 : 0);
    },
    /** The pictures as files, a drawing last. */
    async files() {
      const files = items.map(({ file }) => file);
      return pad.strokes.length ? [...files, await draw.png(pad.strokes, side())] : files;
    },
    /** Everything in it, for another well to take over. */
    get content() {
      return { items, strokes: pad.strokes, drawing };
    },
    set content(value) {
      items = value.items;
      drawing = value.drawing;
      complaint.textContent = "";
      pad.strokes = value.strokes;
      update(false);
      pad.strokes = value.strokes; // once more, now that its canvas has a size
    },
  };
  wells.add(self);
  update(false);
  return self;
}
