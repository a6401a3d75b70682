// Requests to our own origin, and what came of them.

/**
 * Asks, and never throws: status 0 means that nobody answered.
 *
 * @returns {Promise<{status: number, body: object, milliseconds: number}>}
 */
export async function ask(method, path) {
  const started = performance.now();
  const answer = (status, body) => ({ status, body, milliseconds: performance.now() - started });
  try {
    const response = await fetch(path, {
      method,
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.json().catch(() => ({}));
    return answer(response.status, body ?? {});
  } catch {
    return answer(0, {});
  }
}

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with a class and a text. */
export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Sets a text only where it changes, so that nothing is announced or repainted for nothing. */
export function write(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
