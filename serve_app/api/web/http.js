/**
 * One HTTP call to the brain, with its errors as sentences.
 */

/** What went wrong, as a sentence. `status` is 0 when the brain was not reached. */
export class BrainError extends Error {
  constructor(message, { status = 0, code = "unreachable", field = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { name: "BrainError", status, code, field, retryAfter });
  }
}

const AWAY = "The brain is starting or busy. Try again in a moment.";

/** Resolves to the JSON answered (null without content). `body` is a JSON value or FormData. */
export async function call(url, method, { body, headers = {} } = {}) {
  const form = body instanceof FormData;
  const json = body !== undefined && !form;
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: json ? { "Content-Type": "application/json", ...headers } : headers,
      body: json ? JSON.stringify(body) : body,
      cache: "no-store",
      credentials: "omit",
      signal: AbortSignal.timeout(form ? 180_000 : 30_000),
    });
  } catch (error) {
    const slow = error.name === "TimeoutError";
    throw new BrainError(slow ? "The brain took too long to answer." : "The brain cannot be reached just now.");
  }
  // A body that is not JSON comes from a proxy on the way; the status alone speaks then.
  const answer = response.status === 204 ? null : await response.json().catch(() => null);
  if (response.ok) return answer;
  const other = response.status >= 502 ? AWAY : `The brain answered ${response.status}.`;
  throw new BrainError(answer?.error ?? other, {
    status: response.status,
    code: answer?.code ?? "",
    field: answer?.field ?? null,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}
