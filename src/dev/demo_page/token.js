// The token of the last call as the microservice reports it, and its seconds running out.

import { byId, element, write } from "./ask.js";

/** By how much `iat` lies back (the setting `token.backdate`, which `ephemint dev` leaves as it is), in seconds. */
const BACKDATE = 5;

const MEANINGS = {
  alg: "how it is signed",
  kid: "the key, by its id in the key set",
  typ: "kind of token",
  iss: "who issued it",
  sub: "who is signed in",
  aud: "whom it is for",
  iat: "issued, less 5 s for slow clocks",
  exp: "dead from then on",
  nbf: "not valid before",
  jti: "this very token",
  sid: "the session id",
  auth_time: "last signed in",
  amr: "by which means",
  acr: "how sure that is",
  scope: "what it allows",
};
const INSTANTS = new Set(["iat", "exp", "nbf", "auth_time"]);

/** The token that was shown last: its `jti`, when it expires (on this page's clock) and how long it lives (milliseconds). */
let last = null;

/** Shows what the microservice verified; says whether its token is the `first`, `new` or `reused`. */
export function show({ body }) {
  const { claims = {}, token_header: header = {} } = body;
  const kind = last === null ? "first" : last.id === claims.jti ? "reused" : "new";
  const life = Math.max((claims.exp - claims.iat - BACKDATE) * 1000, 1000);
  last = { id: claims.jti, expiresAt: performance.now() + body.expires_in * 1000, life };

  byId("token-empty").hidden = true;
  byId("token").hidden = false;
  const badge = byId("token-badge");
  badge.hidden = false;
  badge.dataset.kind = kind;
  write(badge, kind === "reused" ? "reused" : "new");
  list(byId("token-header"), header);
  list(byId("token-claims"), claims);
  tick();
  return kind;
}

/** Lets the seconds run out. */
export function tick() {
  if (last === null) return;
  const left = Math.max(last.expiresAt - performance.now(), 0);
  const seconds = Math.ceil(left / 1000);
  byId("token-bar").style.transform = `scaleX(${Math.min(left / last.life, 1).toFixed(4)})`;
  byId("token-life").dataset.state = left === 0 ? "dead" : left < 10_000 ? "late" : "fresh";
  write(
    byId("token-left"),
    left === 0 ? "Expired. The next call brings another." : `${seconds} ${seconds === 1 ? "second" : "seconds"} to live`,
  );
}

/** How many seconds the last token still has; nothing where there was none. */
export function secondsLeft() {
  return last === null ? 0 : Math.max(Math.ceil((last.expiresAt - performance.now()) / 1000), 0);
}

function list(target, members) {
  const rows = Object.entries(members)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => {
      const row = element("div", name === "jti" || name === "exp" || name === "sid" ? "marked" : "");
      const description = element("dd");
      description.append(element("code", "", value_of(name, value)));
      if (MEANINGS[name]) description.append(element("span", "aside", MEANINGS[name]));
      row.append(element("dt", "", name), description);
      return row;
    });
  target.replaceChildren(...rows);
}

function value_of(name, value) {
  if (INSTANTS.has(name) && Number.isFinite(value)) return new Date(value * 1000).toLocaleTimeString();
  return typeof value === "string" ? value : JSON.stringify(value);
}
