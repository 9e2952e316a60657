// Enrolling many images: in requests that the service takes, one after the other, so that it is never flooded.

import * as api from "./api.js";

/** Parts of files, each within so many files and bytes. */
export function chunks(files, { most, bytes }) {
  const parts = [];
  let size = Infinity;
  for (const file of files) {
    if (!parts.length || parts.at(-1).length >= most || size + file.size > bytes) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1).push(file);
    size += file.size;
  }
  return parts;
}

/**
 * Enroll groups of files.
 * groups: [{name, files}], or [{id, name, files}] to add to one that is there. bounds: {most, bytes} of a request.
 * progress: called with (images done, name). earlier: what became of a run that this one goes on with, where some were
 * refused. Gives what became of them, and of those; a stop in between loses nothing of that.
 */
export async function upload(groups, { strict = false, metadata, bounds, signal, progress = () => {}, earlier }) {
  const outcome = {
    enrolments: [...(earlier?.enrolments ?? [])],
    added: earlier?.added ?? 0,
    skipped: earlier?.skipped ?? 0,
    concerns: [],
    refused: [],
    failed: [...(earlier?.failed ?? [])],
    names: [...(earlier?.names ?? [])],
    stopped: false,
    identity: earlier?.identity ?? null,
  };
  let done = 0;

  async function send(group, files) {
    try {
      const enrolment = group.id
        ? await api.addTo(group.id, files, { strict }, signal)
        : await api.enroll(group.name, files, { metadata, strict }, signal);
      if (enrolment.id) outcome.enrolments.push(enrolment.id);
      outcome.identity = enrolment.identity;
      outcome.added += enrolment.samples.length;
      outcome.skipped += enrolment.skipped.length;
      outcome.concerns.push(
        ...enrolment.concerns.map((concern) => ({ ...concern, file: files[concern.image], name: group.name })),
      );
      if (enrolment.samples.length && !outcome.names.includes(group.name)) outcome.names.push(group.name);
    } catch (problem) {
      if (problem.kind === "refused") {
        const concerns = problem.body.concerns ?? [];
        outcome.refused.push({ group, files, detail: problem.message });
        outcome.concerns.push(
          ...concerns.map((concern) => ({ ...concern, file: files[concern.image], name: group.name })),
        );
      } else if (files.length > 1 && (problem.status === 413 || /problem-bad-image$/.test(problem.body?.type))) {
        for (const file of files) await send(group, [file]); // one bad image is no reason to lose the others
      } else if (problem.kind === "input") {
        outcome.failed.push({ file: files.length === 1 ? files[0] : null, name: group.name, detail: problem.message });
      } else {
        throw problem;
      }
    }
  }

  for (const group of groups) {
    for (const files of chunks(group.files, bounds)) {
      progress(done, group.name);
      try {
        await send(group, files);
      } catch (problem) {
        outcome.stopped = problem;
        return outcome;
      }
      done += files.length;
    }
  }
  progress(done, "");
  return outcome;
}

/** Pictures of dropped things; folders with sub-folders give a group each. Gives [{name, files}], name "" for loose ones. */
export async function groupsOf(dataTransfer) {
  const entries = [...dataTransfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const groups = new Map();
  const put = (name, file) => groups.set(name, [...(groups.get(name) ?? []), file]);
  async function walk(entry, name) {
    if (entry instanceof File) put(name, entry);
    else if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      if (file.type.startsWith("image/")) put(name, file);
    } else {
      const reader = entry.createReader();
      for (;;) {
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) break;
        for (const one of some) await walk(one, entry.name);
      }
    }
  }
  for (const entry of entries) if (entry) await walk(entry, "");
  return [...groups].map(([name, files]) => ({ name, files }));
}

/** The same of a folder that was chosen. */
export function groupsOfFolder(files) {
  const groups = new Map();
  for (const file of files) {
    if (!file.type.startsWith("image/")) continue;
    const parts = file.webkitRelativePath.split("/");
    const name = parts.at(-2) ?? "";
    groups.set(name, [...(groups.get(name) ?? []), file]);
  }
  return [...groups].map(([name, several]) => ({ name, files: several }));
}
