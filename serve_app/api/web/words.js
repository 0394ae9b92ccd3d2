/**
 * Numbers, times and names put into words. Pure functions of their arguments (and, for times, the clock).
 */
export const AGENTS = {
  auto: "Auto", qa: "Q&A", research: "Research", analysis: "Analysis", general: "General",
};

const DETAILS = {
  limit_reached: "Waiting for a free place",
  retry_at: "Will be tried again soon",
  cancelling: "Stopping",
  stalled: "No sign of progress for a while",
};

const STATES = {
  queued: "Waiting", processing: "Running", completed: "Done", failed: "Failed", cancelled: "Cancelled",
};

const REASONS = {
  robots: "not allowed by the site's robots.txt",
  timeout: "took too long",
  address_forbidden: "address is not public",
  too_large: "too large",
  dns: "host name not found",
  media_type: "not a readable kind of file",
  redirects: "redirected too often",
  empty: "no text on the page",
};

export const agentName = (key) => AGENTS[key] ?? humanise(key);
export const stateName = (key) => STATES[key] ?? humanise(key);

/** What a task is doing, for a person: its own message, or why it waits. */
export function statusLine(status) {
  const detail = DETAILS[status.detail];
  if (status.status === "queued" && status.position > 1) return `${detail ?? "Waiting"}, ${status.position - 1} ahead`;
  return detail ?? (status.message || stateName(status.status ?? "processing"));
}

/** A short failure name in words: `http_404` becomes "answered 404". */
export function reasonName(key) {
  const http = /^http_(\d+)$/.exec(key);
  return http ? `answered ${http[1]}` : REASONS[key] ?? humanise(key).toLowerCase();
}

export function humanise(key) {
  const text = String(key ?? "").replaceAll("_", " ").trim();
  if (text === "llm") return "Language model";
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const number = (value) => Number(value).toLocaleString();
export const percent = (share) => `${Math.round(Math.max(0, Math.min(1, Number(share))) * 100)} %`;
export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** A confidence of 0..1 as a word and a figure. */
export function confidence(value) {
  const word = value >= 0.75 ? "High" : value >= 0.45 ? "Fair" : "Low";
  return `${word} confidence, ${percent(value)}`;
}

export function seconds(value) {
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 90 ? `${value.toFixed(1)} s` : `${Math.round(value / 60)} min`;
}

export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let step = 0;
  let size = Number(value);
  while (size >= 1000 && step < units.length - 1) {
    size /= 1000;
    step += 1;
  }
  return `${step === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[step]}`;
}

/** An ISO time as "3 minutes ago" or "in 2 hours"; empty for none. */
export function ago(iso, now = Date.now()) {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return "";
  const away = (at - now) / 1000;
  const form = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(away) >= size) return form.format(Math.trunc(away / size), unit);
  }
  return away > 5 ? "in a moment" : "just now";
}

export function host(url) {
  try {
    return new URL(url).host || url;
  } catch {
    return String(url ?? "");
  }
}
