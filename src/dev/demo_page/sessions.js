// Everywhere that the person is signed in, with a button to end each of them.

import { ask, byId, element, write } from "./ask.js";

/** Asks for the list and shows it; stays as it was where nobody could say. */
export async function refresh(ended) {
  const { status, body } = await ask("GET", "/sessions");
  if (status !== 200 || !Array.isArray(body.sessions)) return;
  const list = byId("sessions");
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  for (const session of body.sessions) {
    const row = rows.get(session.session_id) ?? made(session, ended);
    rows.delete(session.session_id);
    write(row.querySelector(".when"), when(session));
    // Where it stands already it is left alone, so that a focused button keeps the focus.
    if (!row.isConnected) list.append(row);
  }
  for (const row of rows.values()) row.remove();
}

function made(session, ended) {
  const row = element("li");
  row.dataset.id = session.session_id;
  const device = session.device ?? "Unknown device";
  const text = element("div");
  const name = element("p", "device", device);
  if (session.current) name.append(" ", element("span", "badge", "this one"));
  text.append(name, element("p", "aside when"));
  const button = element("button", "button", "Revoke");
  button.type = "button";
  button.setAttribute("aria-label", `Revoke: ${device}${session.current ? ", this one" : ""}`);
  button.addEventListener("click", async () => {
    const { status } = await ask("DELETE", `/sessions/${encodeURIComponent(session.session_id)}`);
    const gone = status === 200 || status === 404;
    write(byId("sessions-note"), gone ? `${device}: revoked.` : "That did not work. Please try again.");
    if (!gone) return;
    row.remove();
    if (session.current) ended();
    else (byId("sessions").querySelector("button") ?? byId("call")).focus();
  });
  row.append(text, button);
  return row;
}

function when(session) {
  const parts = [`signed in ${ago(session.auth_time)}`, `used ${ago(session.last_seen_at)}`];
  if (session.ip) parts.push(session.ip);
  return parts.join(" · ");
}

function ago(instant) {
  const seconds = Math.max(Math.round((Date.now() - Date.parse(instant)) / 1000), 0);
  if (Number.isNaN(seconds)) return "once";
  if (seconds < 60) return "just now";
  const format = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
  return format.format(-Math.floor(seconds / 3600), "hour");
}
