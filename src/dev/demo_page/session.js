// This browser's own session: what `GET /session` says of it, with its two clocks.

import { ask, byId, write } from "./ask.js";

/** When the session ends, on this page's clock. */
let ends = null;

/**
 * Asks, and shows the answer.
 *
 * @returns {Promise<"live" | "none" | "unknown">} `unknown` where nobody could say
 */
export async function look() {
  const { status, body } = await ask("GET", "/session");
  if (status === 401) {
    ends = null;
    return "none";
  }
  if (status !== 200) return "unknown";
  const now = performance.now();
  ends = { idle: now + body.idle_expires_in * 1000, absolute: now + body.absolute_expires_in * 1000 };
  write(byId("subject"), body.subject);
  write(byId("session-id"), body.session_id);
  tick();
  return "live";
}

/** Lets both clocks run, and shows what scripts can read of the cookies. */
export function tick() {
  const cookies = document.cookie;
  write(byId("script-sees"), cookies === "" ? '""' : cookies.replace(/=[^;]*/g, "=…"));
  write(byId("script-sees-note"), cookies.includes("__Host-session") ? "it should not!" : "no trace of it in document.cookie");
  if (ends === null) return;
  const now = performance.now();
  write(byId("idle"), clock(ends.idle - now));
  write(byId("absolute"), clock(ends.absolute - now));
}

function clock(milliseconds) {
  const seconds = Math.max(Math.ceil(milliseconds / 1000), 0);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
