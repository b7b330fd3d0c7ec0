/** The credential, where the server asks for one: kept in this tab, and nowhere else. */

import { Unauthorized } from "../headwater/index.js";
import { $ } from "./dom.js";

const NAME = "headwater-key";
const asks = document.documentElement.dataset.asks === "yes";
/** @type {Promise<string> | undefined} */
let asking;

/**
 * A key or token; undefined where none is needed. `stale` is one that the server does not take.
 *
 * @param {string} [stale]
 * @returns {Promise<string | undefined>}
 */
export async function credential(stale) {
  const kept = sessionStorage.getItem(NAME) ?? undefined;
  if (kept !== stale || !asks) return kept;
  asking ??= ask(stale).finally(() => (asking = undefined));
  return asking;
}

/** @param {string} [stale] @returns {Promise<string>} */
function ask(stale) {
  const dialog = /** @type {HTMLDialogElement} */ ($("key-dialog"));
  const input = /** @type {HTMLInputElement} */ ($("key"));
  if (stale) $("key-title").textContent = "The server does not take this key";
  input.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve, reject) => {
    dialog.addEventListener(
      "close",
      () => {
        const key = dialog.returnValue === "use" ? input.value.trim() : "";
        input.value = "";
        if (!key) return reject(new Unauthorized("This server asks who you are: give it a key.", { code: "no_key" }));
        sessionStorage.setItem(NAME, key);
        resolve(key);
      },
      { once: true },
    );
  });
}

$("key-dialog").querySelector("[data-close]").addEventListener("click", () => $("key-dialog").close());
$("key-dialog").querySelector("form").addEventListener("submit", () => ($("key-dialog").returnValue = "use"));
document.querySelector("[data-open-key]")?.addEventListener("click", async () => {
  try {
    await ask();
    location.reload();
  } catch {
    // The old one stays.
  }
});
