/** The page of a room. */

import { $ } from "./dom.js";
import { RoomPage } from "./room_page.js";

const talk = $("talk");
if (talk) new RoomPage(talk.dataset.room, document.documentElement.dataset.guest);
