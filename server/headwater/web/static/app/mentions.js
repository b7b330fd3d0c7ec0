/** Who a text means: names behind an @, of members and models. */

import { h } from "./dom.js";

/** @typedef {{id: string, name: string, kind: "person" | "model"}} Named */

/** @param {Named[]} all the longest name first, so that no name hides one that begins with it */
const byLength = (all) => [...all].sort((one, other) => other.name.length - one.name.length);

/**
 * Where a text names whom, from its start to its end.
 *
 * @param {string} text
 * @param {Named[]} all
 * @returns {{at: number, end: number, named: Named}[]}
 */
function found(text, all) {
  const names = byLength(all);
  const hits = [];
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    if (at > 0 && /[\p{L}\p{N}_]/u.test(text[at - 1])) continue;
    const rest = text.slice(at + 1);
    const named = names.find(
      ({ name }) => rest.toLowerCase().startsWith(name.toLowerCase()) && !/^[\p{L}\p{N}_-]/u.test(rest.slice(name.length)),
    );
    if (named) hits.push({ at, end: at + 1 + named.name.length, named });
  }
  return hits;
}

/** The ids of those whom a text means. @param {string} text @param {Named[]} all */
export function meant(text, all) {
  return [...new Set(found(text, all).map(({ named }) => named.id))].slice(0, 16);
}

/** The text, those in it that are meant marked. @param {string} text @param {Named[]} all */
export function withMentions(text, all) {
  const nodes = [];
  let from = 0;
  for (const { at, end } of all.length ? found(text, all) : []) {
    nodes.push(text.slice(from, at), h("span", { class: "mention" }, text.slice(at, end)));
    from = end;
  }
  return [...nodes, text.slice(from)].filter((node) => node !== "");
}
