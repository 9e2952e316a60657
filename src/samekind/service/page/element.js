// Elements of the page from data. Text goes in as text, never as HTML: a name can hold anything.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && !(node instanceof SVGElement) && name !== "list") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; a property that begins with "on" is a listener, others are set or become attributes. */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** An SVG element. */
export function s(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

const ICONS = {
  add: "M12 5v14M5 12h14",
  brush: "M4 20c4 0 5-1 5-4M9 15 19.500 4.500M9 15l1.500 1.500L20.500 6",
  check: "M5 12.500 10 17.500 19 7",
  clear: "M6 6l12 12M18 6 6 18",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-2.500 4 3.500M15.500 9.500h.01",
  paste: "M8 5H6v15h12V5h-2M9 3.500h6v3.500H9zM9 12h6M9 15.500h4",
  question: "M9 9.500a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 18v.01",
  equal: "M6 9.500h12M6 14.500h12",
  unequal: "M6 9.500h12M6 14.500h12M15.500 5.500l-7 13",
  nobody: "M5 12h14",
  swap: "M7 8h12l-3.500-3.500M17 16H5l3.500 3.500",
  trash: "M5 7h14M10 7V4.500h4V7M7 7l1 12.500h8L17 7M10.500 10.500v5.500M13.500 10.500v5.500",
  undo: "M9 6 5 10l4 4M5 10h9a5 5 0 0 1 0 10h-3",
  warn: "M12 4 21 20H3zM12 10v5M12 17.500v.01",
  search: "M10.500 4.500a6 6 0 1 1 0 12 6 6 0 0 1 0-12M15 15l5 5",
  folder: "M3.500 6h6l2 2.500h9v10.500h-17z",
};

/** Put children in the place of what an element holds; those that are nothing are left out. */
export function put(node, ...children) {
  node.replaceChildren();
  return fill(node, null, children);
}

/** A small picture beside a word; it says nothing that the word does not. */
export function icon(name) {
  return s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, s("path", { d: ICONS[name] }));
}

/** A button with an icon and a word. */
export function button(text, name, onclick, properties) {
  return h("button", { type: "button", onclick, ...properties }, name && icon(name), h("span", {}, text));
}

/** A name that somebody gave, in the direction of its own script. */
export function given(name, properties) {
  return h("bdi", properties, name);
}

let last = 0;

/** An id that no other element has. */
export function fresh(stem) {
  last += 1;
  return `${stem}-${last}`;
}
