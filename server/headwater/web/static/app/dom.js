/** Small helpers for the document. */

/**
 * An element. Properties are set as they are, `class` and `data` and `aria-…` as one writes them in HTML.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** @param {string} id */
export const $ = (id) => document.getElementById(id);

/** The mark of Headwater, which stands for a model. */
export function mark() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", "M2 7.5c3.3-4 6.7 4 10 0s6.7-4 10 0M2 13c3.3-4 6.7 4 10 0s6.7-4 10 0M2 18.5c3.3-4 6.7 4 10 0s6.7-4 10 0");
  svg.append(path);
  return svg;
}

/** @param {Element} pill @param {string} text @param {string} tone live, good, warn, bad or none */
export function setPill(pill, text, tone) {
  if (pill.textContent !== text) pill.textContent = text;
  pill.dataset.tone = tone;
}

/** Show what was refused, or hide the banner. @param {unknown} error */
export function setRefused(error) {
  const banner = $("refused");
  banner.hidden = !error;
  banner.textContent = error ? messageOf(error) : "";
}

/** For a line that was given up. */
export function tryAgain() {
  const button = h("button", { type: "button" }, "Try again");
  button.addEventListener("click", () => location.reload());
  return button;
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** @param {HTMLElement} button @param {() => string} text */
export function copies(button, text) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = label), 1500);
  });
}

/** A page without HTTPS has no clipboard but a selection. @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, class: "visually-hidden", readOnly: true });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const CLOCK_S = new Intl.DateTimeFormat(undefined, { minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const NUMBER = new Intl.NumberFormat("en");

/** @param {number} at Unix seconds @param {boolean} [short] the minute's seconds, not the hour's minutes */
export function timeOf(at, short = false) {
  const date = new Date(at * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  const text = short ? CLOCK_S.format(date) : isToday ? CLOCK.format(date) : DAY.format(date);
  return h("time", { dateTime: date.toISOString(), title: DAY.format(date) }, text);
}

/** @param {number} n */
export const count = (n) => NUMBER.format(n);

/** @param {number} ms */
export const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`);
