/** The list of rooms. */

import { $, h, messageOf, timeOf } from "./dom.js";
import { ask, root } from "./server.js";

let before;

async function list() {
  const state = $("rooms-state");
  try {
    const query = before ? `?before=${encodeURIComponent(before)}` : "";
    const { data, has_more: hasMore } = await ask(`/v1/rooms${query}`);
    $("room-list").append(...data.map(line));
    before = data.at(-1)?.name;
    $("more").hidden = !hasMore;
    state.textContent = "There is none yet: enter one, and it is made.";
    state.hidden = $("room-list").childElementCount > 0;
  } catch (error) {
    state.textContent = messageOf(error);
  }
}

/** @param {{name: string, title: string | null, created_at: number}} room */
function line(room) {
  const about = room.title ? [h("span", {}, room.title)] : [];
  const made = timeOf(room.created_at);
  return h("li", {}, h("a", { class: "card", href: `${root}/rooms/${room.name}` }, h("strong", {}, room.name), ...about, made));
}

$("more").addEventListener("click", list);
list();
