// The service, as decided in docs/service.md. Knows HTTP; knows nothing of what the page looks like.

const KEY = "samekind-key";
const PATIENCE = 3; // a request that a busy service turned away is sent again so many times
const LONGEST_WAIT = 20; // seconds

/** What went wrong, for a person. kind: "offline", "key", "scope", "busy", "refused", "gone", "none", "input" or "fault". */
export class Problem extends Error {
  constructor(kind, title, detail, body = {}, status = 0) {
    super(detail || title);
    this.kind = kind;
    this.title = title;
    this.body = body;
    this.status = status;
  }
}

let askForKey = null;
let waiting = () => {};

/** Who asks a person for a key, and who is told that a busy service is waited for (seconds; 0: no longer). */
export function connect(ask, wait) {
  askForKey = ask;
  waiting = wait;
}

/** The key of this tab: gone when it is closed. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const address = (path) => new URL(path, document.baseURI);

async function send(path, { method, body, signal, keepalive }) {
  const headers = { Accept: "application/json" };
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  try {
    return await fetch(address(path), { method, headers, body, signal, keepalive });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("offline", "The service does not answer", "Is it still running? Nothing you see here is lost.");
  }
}

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    });
  });

async function problem(response) {
  const body = await response.json().catch(() => ({}));
  const detail = typeof body.detail === "string" ? body.detail : "";
  const status = response.status;
  if (status === 403) return new Problem("scope", "Your key does not allow this", detail, body);
  const kind = String(body.type ?? "").split("problem-")[1];
  if (kind === "no-gallery") return new Problem("none", "This service has no gallery", detail, body);
  if (status === 404) return new Problem("gone", "It is no longer there", detail, body);
  if (kind === "doubtful") return new Problem("refused", "Refused", detail, body);
  if (status === 413) return new Problem("input", "Too large", detail || "Send fewer or smaller images.", body, status);
  if (status === 429 || status === 503) return new Problem("busy", "The service is busy", detail, body);
  if (status < 500)
    return new Problem("input", body.title || "Not accepted", detail || `Status ${status}`, body, status);
  const id = body.request_id ? ` Its log has the request as ${body.request_id}.` : "";
  return new Problem("fault", "The service failed", `${detail || "It gave no reason."}${id}`, body);
}

/** One request; asks for a key where one is needed, and waits for a busy service as long as it says. */
export async function request(path, { method = "GET", body, signal, keepalive = false } = {}) {
  for (let attempt = 0; ; attempt += 1) {
    const response = await send(path, { method, body, signal, keepalive });
    if (response.ok) return response;
    if (response.status === 401 && askForKey) {
      const refused = key.get();
      key.set("");
      if (await askForKey(Boolean(refused))) continue;
      throw new Problem("key", "A key is needed", "This service answers only to those who have a key.");
    }
    const busy = response.status === 429 || response.status === 503;
    if (!busy || attempt >= PATIENCE || keepalive) throw await problem(response);
    const seconds = Math.min(LONGEST_WAIT, Math.max(1, Number(response.headers.get("Retry-After")) || 2 ** attempt));
    waiting(seconds);
    try {
      await pause(seconds, signal);
    } finally {
      waiting(0);
    }
  }
}

async function json(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one instanceof Blob) body.append(name, one, one.name ?? "drawing.png");
      else body.append(name, String(one));
    }
  }
  return body;
}

const post = (path, fields, signal) => json(path, { method: "POST", body: form(fields), signal });

/** POST /v1/verify. */
export const verify = (query, reference, signal) => post("v1/verify", { query, reference }, signal);

/** POST /v1/identify. */
export const identify = (image, top, signal) => post("v1/identify", { image, top }, signal);

/** GET /v1/identities. */
export function identities({ after, limit, search }, signal) {
  const query = new URLSearchParams({ limit });
  if (after !== undefined && after !== null) query.set("after", after);
  if (search) query.set("search", search);
  return json(`v1/identities?${query}`, { signal });
}

/** GET /v1/identities/{id}. */
export const identity = (id, signal) => json(`v1/identities/${encodeURIComponent(id)}`, { signal });

/** POST /v1/identities. */
export const enroll = (name, image, { metadata, strict }, signal) =>
  post("v1/identities", { name, image, metadata: metadata && JSON.stringify(metadata), strict }, signal);

/** POST /v1/identities/{id}/samples. */
export const addTo = (id, image, { strict }, signal) => post(`v1/identities/${id}/samples`, { image, strict }, signal);

/** DELETE of an identity, a sample or an enrolment; keepalive: it goes out though the page is being left. */
export const remove = (kind, id, keepalive = false) => json(`v1/${kind}/${id}`, { method: "DELETE", keepalive });

/** GET /v1/model. */
export const model = () => json("v1/model");

/** GET /v1/samples/{id}/image. */
export const picture = async (id, signal) => (await request(`v1/samples/${id}/image`, { signal })).blob();
