// The picture of the last call: how far it got, and who ended it.

import { byId, write } from "./ask.js";

/**
 * What an answer says of the way that the call took.
 *
 * `outcome` is a name for the style sheet, `text` a sentence for people.
 */
export function outcomeOf({ status, body }) {
  if (status === 200) return { outcome: "passed", text: "The microservice verified the token and answered." };
  if (status === 401 && body.code === "no-session") {
    return { outcome: "refused", text: "Refused at the exchange: the cookie opens no live session. The microservice was not asked." };
  }
  if (status === 401) return { outcome: "distrusted", text: "The microservice did not accept the token." };
  if (status === 403) return { outcome: "refused", text: "Refused at the exchange by its policy. The microservice was not asked." };
  if (status === 503) return { outcome: "undecided", text: "The exchange could not decide, so nothing passed." };
  if (status === 0) return { outcome: "unreachable", text: "The gateway did not answer." };
  return { outcome: "distrusted", text: "The microservice did not answer as it should." };
}

/** Lights up the hops of a call. */
export function show(answer) {
  const { outcome, text } = outcomeOf(answer);
  const diagram = byId("diagram");
  diagram.dataset.outcome = "idle";
  // Reading a measure makes the browser apply that, so that the hops light up anew.
  void diagram.getBoundingClientRect();
  diagram.dataset.outcome = outcome;

  const badge = byId("outcome-status");
  badge.hidden = false;
  badge.dataset.good = String(answer.status === 200);
  write(badge, answer.status === 0 ? "no answer" : String(answer.status));
  write(byId("outcome"), text);
  return text;
}
