/** The playground: ask, and follow the run whose id is in the address. */

import { $, copies, h, setRefused } from "./dom.js";
import { RunView } from "./run_view.js";
import { ask, client, root } from "./server.js";

const main = $("main");
const form = $("ask");
const [prompt, model, pace, fault] = ["prompt", "model", "pace", "fault"].map($);
/** @type {RunView | undefined} */
let view;

/** @param {string} id @param {{question?: string, askedAt?: number}} [known] */
function follow(id, known) {
  view?.close();
  const url = new URL(`${root}/runs/${id}`, location.href).href;
  for (const part of ["answer", "facts"]) $(part).hidden = false;
  $("ideas").hidden = true;
  main.classList.add("has-run");
  $("second").href = url;
  $("curl").textContent = `curl -N '${new URL(`${root}/v1/runs/${id}/events?format=text`, location.href).href}'`;
  if (document.documentElement.dataset.asks === "yes") $("curl").textContent += ' \\\n  -H "Authorization: Bearer $KEY"';
  view = new RunView(id, known);
}

/** What the address says. */
function show() {
  const id = location.pathname.slice(root.length).match(/^\/runs\/([\w-]+)$/)?.[1];
  if (id) return follow(id);
  view?.close();
  view = undefined;
  for (const part of ["answer", "facts"]) $(part).hidden = true;
  $("ideas").hidden = false;
  main.classList.remove("has-run");
}

async function send() {
  const question = prompt.value.trim();
  if (!question) return prompt.focus();
  setRefused();
  $("send").disabled = true;
  const askedAt = performance.now();
  try {
    const run = await client.createRun({
      input: question,
      model: model.value,
      metadata: { prompt: [...question].slice(0, 200).join("") },
      ...(model.value === "demo" ? { extra: { demo: demoOptions() } } : {}),
    });
    history.pushState({}, "", `${root}/runs/${run.id}`);
    follow(run.id, { question, askedAt });
    prompt.value = "";
  } catch (error) {
    setRefused(error);
  } finally {
    $("send").disabled = false;
  }
}

function demoOptions() {
  const options = { tokens_per_s: Number(pace.value) };
  return fault?.value ? { ...options, fault: fault.value, after: 40 } : options;
}

async function listModels() {
  try {
    const { data } = await ask("/v1/models");
    model.replaceChildren(...data.map(({ id }) => h("option", { value: id }, id)));
    showDemo();
  } catch (error) {
    setRefused(error);
  }
}

/** The pace is the demo's to keep. */
function showDemo() {
  for (const field of form.querySelectorAll("[data-demo]")) field.hidden = model.value !== "demo";
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  form.requestSubmit();
});
pace.addEventListener("input", () => (pace.nextElementSibling.value = `${pace.value} tokens/s`));
model.addEventListener("change", showDemo);
for (const idea of $("ideas").querySelectorAll("button")) {
  idea.addEventListener("click", () => {
    prompt.value = idea.textContent;
    form.requestSubmit();
  });
}
$("stop").addEventListener("click", () => view?.stop());
$("view").addEventListener("click", () => view?.showPlain($("output").hidden));
copies($("copy"), () => view?.text ?? "");
copies($("copy-link"), () => $("second").href);
copies($("copy-curl"), () => $("curl").textContent);
addEventListener("popstate", show);

show();
listModels();
