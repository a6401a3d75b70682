// The page as a whole: what it shows when, and its two clocks.

import { byId, write } from "./ask.js";
import { call } from "./calls.js";
import * as session from "./session.js";
import * as sessions from "./sessions.js";
import * as token from "./token.js";

/** How often the session is looked at while somebody can see the page, in milliseconds. */
const LOOK = 1000;
/** How many looks at the session there are to one at the list of sessions. */
const LOOKS_PER_LIST = 3;
/** After so many refusals in a row the calls by themselves stop. */
const REFUSALS = 5;

/** `unknown` before the first answer; `ended` is a `none` that was `live` before. */
let state = "unknown";
let looks = 0;
let looking = false;
let refusals = 0;
let announced = "";

function enter(next) {
  if (next === state) return;
  const wasLive = state === "live";
  state = next === "none" && (wasLive || state === "ended") ? "ended" : next;
  document.body.dataset.state = state;
  for (const part of document.querySelectorAll("[data-when]")) {
    const signedIn = state === "live" || state === "ended";
    part.hidden = part.dataset.when === (signedIn ? "signed-out" : "signed-in");
  }
  // Whoever comes from the sign-in page without a session has a browser that dropped the cookie.
  const justSignedIn = document.referrer !== "" && new URL(document.referrer).pathname === "/login";
  byId("no-cookie").hidden = !(state === "none" && (justSignedIn || navigator.vendor.startsWith("Apple")));
  byId("ended").hidden = state !== "ended";
  if (state === "live") looks = 0;
}

function tellTheEnd(here) {
  const left = token.secondsLeft();
  const who = here ? "You have just revoked it here." : "It was ended from somewhere else, just now.";
  const rest = left > 0 ? ` The last token still passes inside for ${left} s; it never left there, and no new one is made.` : "";
  write(byId("ended-text"), `${who} Whatever cookie this browser still has opens nothing: the next call is answered 401.${rest}`);
}

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  const found = await session.look();
  looking = false;
  if (found === "unknown") return;
  const was = state;
  if (found === "none" && was === "live") tellTheEnd(false);
  enter(found);
  if (state !== "live") return;
  if (looks % LOOKS_PER_LIST === 0) void sessions.refresh(endedHere);
  looks += 1;
}

function endedHere() {
  tellTheEnd(true);
  enter("none");
  byId("call").focus();
}

async function callOnce(byHand) {
  const done = await call();
  if (done === null) return;
  refusals = done.status === 200 ? 0 : refusals + 1;
  const repeating = byId("every-second");
  if (repeating.checked && refusals >= REFUSALS) repeating.checked = false;
  // A call each second would talk without end: then only what is different is said.
  const text = `${done.status === 0 ? "No answer" : done.status}. ${done.text}`;
  if (byHand || text !== announced) write(byId("announcer"), byHand && text === announced ? `${text}\u00a0` : text);
  announced = byId("announcer").textContent;
  if (done.status === 401 && state === "live") void look();
}

byId("call").addEventListener("click", () => {
  refusals = 0;
  void callOnce(true);
});
byId("every-second").addEventListener("change", (event) => {
  refusals = 0;
  if (event.target.checked) void callOnce(true);
});
document.addEventListener("visibilitychange", () => void look());

setInterval(() => {
  void look();
  if (byId("every-second").checked && !document.hidden) void callOnce(false);
}, LOOK);
setInterval(() => {
  token.tick();
  session.tick();
}, 200);
void look();
