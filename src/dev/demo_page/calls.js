// Calls of the microservice through the gateway, and the short log of them.

import { ask, byId, element } from "./ask.js";
import * as diagram from "./diagram.js";
import * as token from "./token.js";

const KEPT = 8;
const TOKENS = { first: "new", new: "new", reused: "reused" };

let calling = false;

/** Calls once, shows everything that is to be seen, and tells what became of it; nothing while a call is under way. */
export async function call() {
  if (calling) return null;
  calling = true;
  const answer = await ask("GET", "/api/hello");
  calling = false;
  const text = diagram.show(answer);
  const kind = answer.status === 200 ? token.show(answer) : null;
  log(answer, kind);
  return { status: answer.status, text, kind };
}

function log(answer, kind) {
  byId("log-empty").hidden = true;
  const table = byId("log");
  table.hidden = false;
  const row = element("tr");
  row.dataset.good = String(answer.status === 200);
  const status = element("td");
  status.append(element("span", "status", answer.status === 0 ? "none" : String(answer.status)));
  status.firstChild.dataset.good = row.dataset.good;
  const brought = element("td", "", kind === null ? "none" : TOKENS[kind]);
  if (kind !== null) brought.append(" ", element("code", "aside", `…${String(answer.body.claims?.jti ?? "").slice(-6)}`));
  row.append(
    element("td", "", new Date().toLocaleTimeString()),
    status,
    element("td", "", `${answer.milliseconds.toFixed(answer.milliseconds < 10 ? 1 : 0)} ms`),
    brought,
  );
  const body = table.tBodies[0];
  body.prepend(row);
  while (body.rows.length > KEPT) body.lastElementChild.remove();
}
