// Messages at the foot of the page that can be taken back.

import { button, h } from "./element.js";

const GRACE = 7; // seconds
const pending = new Set();

/**
 * Say that something was done. Offers to undo it until the time is over; the time stands still while the message is
 * under the pointer or has the focus.
 * undo: called when it is taken back. settled: called when it is not. keep: seconds, else GRACE.
 */
export function toast(content, { undo, settled = () => {}, keep = GRACE, wrong = false } = {}) {
  const note = h("div", { className: `toast${wrong ? " wrong" : ""}`, role: wrong ? "alert" : "status" });
  const bar = h("span", { className: "left", "aria-hidden": "true" });
  let left = keep;
  let held = false;
  const finish = (taken) => {
    if (!pending.delete(finish)) return;
    clearInterval(clock);
    const focused = note.contains(document.activeElement);
    note.remove();
    if (focused) document.getElementById("content").focus({ preventScroll: true });
    if (taken) undo();
    else settled();
  };
  const hold = (value) => () => (held = value);
  note.append(
    h("p", {}, content),
    undo ? button("Undo", "undo", () => finish(true)) : "",
    button("Close", "clear", () => finish(false), { className: "quiet only-icon" }),
    bar,
  );
  note.addEventListener("pointerenter", hold(true));
  note.addEventListener("pointerleave", hold(false));
  note.addEventListener("focusin", hold(true));
  note.addEventListener("focusout", hold(false));
  const clock = setInterval(() => {
    if (held) return;
    left -= 0.1;
    bar.style.transform = `scaleX(${Math.max(0, left / keep)})`;
    if (left <= 0) finish(false);
  }, 100);
  pending.add(finish);
  document.getElementById("toasts").append(note);
  return () => finish(false);
}

// who leaves the page has not taken it back
addEventListener("pagehide", () => [...pending].forEach((finish) => finish(false)));
