// What became of an enrolment, in words and pictures, and the way back.

import * as api from "./api.js";
import { button, given, h, icon, put } from "./element.js";
import { brought } from "./pictures.js";
import { count, many } from "./words.js";

const SHOWN = 30; // images with remarks

/** A bar that fills while groups are enrolled: {element, tell(done, name)}. stop: called to end it early. */
export function progressOf(groups, stop) {
  const all = groups.reduce((sum, { files }) => sum + files.length, 0);
  const bar = h("progress", { max: all, value: 0, "aria-label": "Images added" });
  const text = h("p", {});
  return {
    element: h(
      "div",
      { className: "progress card" },
      text,
      bar,
      h("div", { className: "actions" }, button("Stop", "clear", stop)),
    ),
    tell(done, name) {
      bar.value = done;
      put(text, `${count(done)} of ${many(all, "image")}`, name ? " · " : "", name ? given(name) : "");
    },
  };
}

function shown(file) {
  const url = URL.createObjectURL(file);
  const image = brought(url, file.name);
  image.addEventListener("load", () => URL.revokeObjectURL(url));
  return image;
}

/** rows: {file or null, name of the identity, kind, text or detail}; those of one file stand together. */
function remarks(title, rows) {
  const groups = [];
  for (const row of rows) {
    if (row.file && groups.at(-1)?.[0].file === row.file) groups.at(-1).push(row);
    else groups.push([row]);
  }
  const list = groups.slice(0, SHOWN).map((group) => {
    const [{ file, name }] = group;
    return h(
      "li",
      {},
      file && h("span", { className: "frame" }, shown(file)),
      h(
        "div",
        {},
        group.map(({ kind, text, detail }) => [kind && h("strong", {}, kind), h("p", {}, text ?? detail)]),
        h("p", { className: "note" }, given(name), file && ` · ${file.name}`),
      ),
    );
  });
  return h(
    "div",
    { className: "remarks" },
    h("h3", {}, title),
    h("ul", {}, list),
    groups.length > SHOWN && h("p", { className: "note" }, `and ${count(groups.length - SHOWN)} more`),
  );
}

async function takeBack(enrolment) {
  try {
    await api.remove("enrolments", enrolment);
  } catch (problem) {
    if (problem.kind !== "gone") throw problem; // somebody else was faster
  }
}

/** anyway: called with the groups that were refused, to add them nevertheless. undone: called after everything was taken back. */
export function outcomeOf(outcome, { anyway, undone }) {
  const { added, skipped, concerns, refused, failed, names, enrolments, stopped } = outcome;
  const [name] = names;
  const where =
    names.length === 1 ? ["to ", given(name)] : names.length ? [`to ${count(names.length)} identities`] : [];
  const aborted = stopped && stopped.name === "AbortError";
  const box = h("div", {
    tabIndex: -1,
    className: `outcome card ${refused.length || failed.length || (stopped && !aborted) ? "wrong" : concerns.length ? "doubt" : "right"}`,
  });
  const head = h(
    "p",
    { className: "outcome-head" },
    icon(added ? "check" : "warn"),
    h("strong", {}, added ? `Added ${many(added, "image")} ` : "Nothing was added ", where),
  );
  const lines = [
    skipped > 0 && `${many(skipped, "image was", "images were")} enrolled there already and left out.`,
    aborted && "Stopped: what had been added before stays.",
    stopped && !aborted && `${stopped.title ?? "The page failed"}: ${stopped.message}`,
    ...(concerns.length ? [] : refused.map(({ detail }) => detail)), // else they are told one by one below
  ];
  const left = [...enrolments];
  const complaint = h("p", { className: "complaint", role: "alert" });
  const again = button("Add them anyway", "add", () => anyway(refused.map(({ group, files }) => ({ ...group, files }))));
  const undo = button("Undo", "undo", async () => {
    undo.disabled = again.disabled = true; // what is half taken back is not added to
    complaint.remove();
    try {
      for (; left.length; left.pop()) await takeBack(left.at(-1));
      put(
        box,
        h(
          "p",
          { className: "outcome-head", role: "status" },
          icon("undo"),
          h("strong", {}, `Taken back: ${many(added, "image is", "images are")} no longer enrolled.`),
        ),
      );
      undone();
    } catch (problem) {
      undo.disabled = false;
      put(complaint, problem.message);
      box.append(complaint);
    }
  });
  box.append(
    head,
    ...lines.filter(Boolean).map((line) => h("p", {}, line)),
    ...(concerns.length ? [remarks(refused.length ? "Why it was refused" : "Please look at these", concerns)] : []),
    ...(failed.length ? [remarks("Not accepted", failed)] : []),
    h(
      "div",
      { className: "actions" },
      enrolments.length > 0 && undo,
      refused.length > 0 && again,
      added > 0 &&
        outcome.identity &&
        names.length === 1 &&
        h("a", { className: "button", href: `#gallery/${outcome.identity.id}` }, "Look at it"),
    ),
  );
  return box;
}
