/** The board: looks at the server every second. */

import { Chart } from "./chart.js";
import { $, count, h, messageOf, seconds, setPill, setRefused, timeOf } from "./dom.js";
import { statusOf } from "./ends.js";
import { Workers } from "./figures.js";
import { ask, root } from "./server.js";

const EVERY_MS = 1000;
const SPAN_MS = 120_000;
const FAILURES_SHOWN = 3;
const NAMES = ["runs", "subscribers", "speed", "first"];

const workers = new Workers();
const charts = Object.fromEntries(NAMES.map((name) => [name, new Chart($(`${name}-chart`), SPAN_MS)]));
let failures = 0;

/** @param {string} name @param {number | undefined} value @param {string} text */
function set(name, value, text) {
  charts[name].add(performance.now(), value);
  $(`${name}-now`).textContent = text;
}

async function look() {
  workers.add(performance.now(), await ask("/board/figures"));
  const [runs, subscribers, rate, first] = [workers.sum("runs"), workers.sum("subscribers"), workers.rate(), workers.firstToken()];
  set("runs", runs, count(runs));
  set("subscribers", subscribers, count(subscribers));
  set("speed", rate, rate === undefined ? "–" : count(rate < 10 ? Number(rate.toFixed(1)) : Math.round(rate)));
  set("first", first, first === undefined ? "–" : seconds(first * 1000));
  const members = workers.sum("room_members");
  $("subscribers-about").textContent = `follow runs and rooms, ${count(members)} in rooms`;
  fill("models", workers.models().map(modelRow), 5, "No run has begun since the server started.");
}

async function listRuns() {
  const { data } = await ask("/v1/runs?limit=8");
  fill("latest", data.map(runRow), 4, "There is no run yet.");
}

/** @param {string} id @param {Node[]} rows @param {number} columns @param {string} none */
function fill(id, rows, columns, none) {
  const empty = h("tr", {}, h("td", { class: "none", colSpan: columns }, none));
  $(id).replaceChildren(...(rows.length ? rows : [empty]));
}

function modelRow({ model, started, completed, others, tokens }) {
  const numbers = [started, completed, others, tokens].map((n) => h("td", { class: "right" }, count(n)));
  return h("tr", {}, h("th", { scope: "row" }, model), ...numbers);
}

function runRow({ id, model, status, created_at: at, metadata }) {
  const [word, tone] = statusOf(status);
  const name = metadata.prompt ? metadata.prompt : `${id.slice(0, 14)}…`;
  const link = h("a", { href: `${root}/runs/${id}` }, name);
  const pill = h("span", { class: "pill", data: { tone } }, word);
  return h("tr", {}, h("td", {}, link), h("td", {}, model), h("td", {}, pill), h("td", { class: "right" }, timeOf(at)));
}

async function turn(tick) {
  try {
    if (!document.hidden) await Promise.all([look(), tick % 3 === 0 ? listRuns() : undefined]);
    failures = 0;
    setRefused();
    setPill($("line"), workers.count > 1 ? `Live, ${workers.count} workers` : "Live", "live");
  } catch (error) {
    if (error.code === "forbidden" || error.code === "no_key") {
      setRefused(`${messageOf(error)} The board needs a key with the scope admin.`);
      return setPill($("line"), "Not allowed", "bad");
    }
    for (const name of NAMES) charts[name].add(performance.now(), undefined);
    if (++failures >= FAILURES_SHOWN) setPill($("line"), "The server does not answer", "warn");
  }
  setTimeout(turn, EVERY_MS, tick + 1);
}

turn(0);
