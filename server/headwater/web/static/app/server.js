/** The server behind this page: the client as shipped, and the few routes that are the page's own. */

import { createClient } from "../headwater/index.js";
import { credential } from "./key.js";

/** The path under which Headwater is mounted; empty for none. */
export const root = document.documentElement.dataset.root;

export const client = createClient({ url: `${root}/`, token: credential });

/**
 * The JSON of one request. Throws an Error with the server's own words.
 *
 * @param {string} path
 * @param {{body?: unknown, signal?: AbortSignal}} [options]
 */
export async function ask(path, { body, signal } = {}) {
  let token = await credential();
  let response = await send(path, body, token, signal);
  if (response.status === 401) {
    token = await credential(token);
    response = await send(path, body, token, signal);
  }
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw Object.assign(new Error(answer?.detail ?? `Status ${response.status}.`), answer);
  return answer;
}

/** @param {string} path @param {unknown} body @param {string} token @param {AbortSignal} [signal] */
function send(path, body, token, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body === undefined) return fetch(root + path, { headers, signal });
  headers["Content-Type"] = "application/json";
  return fetch(root + path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

// What the server renders at once, in characters.
const MARKDOWN_MAX = 64 * 1024;

/**
 * The texts as HTML that the server has made safe; undefined of one that is too long, or where it cannot be had now.
 *
 * @param {string[]} texts
 * @returns {Promise<(string | undefined)[]>}
 */
export async function rendered(texts) {
  const html = [];
  for (let at = 0; at < texts.length; ) {
    let chars = 0;
    const batch = [];
    while (at + batch.length < texts.length && batch.length < 100) {
      chars += texts[at + batch.length].length;
      if (chars > MARKDOWN_MAX) break;
      batch.push(texts[at + batch.length]);
    }
    if (batch.length) html.push(...(await ask("/markdown", { body: { texts: batch } }).then((a) => a.html, () => batch.map(() => undefined))));
    else html.push(undefined);
    at = html.length;
  }
  return html;
}
