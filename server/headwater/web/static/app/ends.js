/** How runs stand and end, in words for people. */

const STATUSES = {
  queued: ["Waiting", "live"],
  in_progress: ["Streaming", "live"],
  completed: ["Completed", "good"],
  incomplete: ["Incomplete", "warn"],
  failed: ["Failed", "bad"],
  cancelled: ["Stopped", "none"],
};

const REASONS = {
  length: "The limit for one answer was reached, so it stops here.",
  content_filter: "The model’s provider withheld the rest.",
  upstream_cut: "The connection to the model broke, so the rest is missing.",
  idle_timeout: "The model went silent in the middle, so the rest is missing.",
  no_finish_reason: "The model’s stream ended without saying why, so the rest may be missing.",
  producer_lost: "The server that produced this answer died. All that it had stored is here; the rest is missing.",
  drained: "The server shut down before the answer was finished. All that there was is here.",
  upstream_error: "The model’s server answered with an error.",
  upstream_unreachable: "The model’s server cannot be reached.",
  first_token_timeout: "The model did not begin to answer in time.",
  bad_upstream_data: "What the model’s server sent could not be understood.",
  internal_error: "Something went wrong in the server. Its log says what.",
};

// Of which the server's own sentence says more.
const TOLD_MORE = ["content_filter", "upstream_error", "upstream_unreachable", "bad_upstream_data"];

/** @param {string} status @returns {[string, string]} a word, and its tone */
export function statusOf(status) {
  return STATUSES[status] ?? [status, "none"];
}

/**
 * How an answer goes on after something failed.
 *
 * @param {{reason: string, how: string, model?: string}} attempt
 */
export function attemptOf({ reason, how, model }) {
  const what = how === "restarted" ? "Begun anew" : "Continued";
  if (model) return `${what} by ${model}`;
  if (reason === "failover") return `${what}, after a fault of the model’s server`;
  return reason === "drain" ? `${what} by the next worker` : `${what} after its worker was lost`;
}

/**
 * Why there is no more; undefined of an answer that is whole.
 *
 * @param {{status: string, reason?: string, error?: {detail: string}}} end
 */
export function verdictOf({ status, reason, error }) {
  if (status === "completed") return undefined;
  if (status === "cancelled") return "Somebody stopped this answer. What there was of it stays.";
  const words = REASONS[reason] ?? `It ended early: ${reason ?? status}.`;
  return error?.detail && (TOLD_MORE.includes(reason) || !REASONS[reason]) ? `${words} ${error.detail}` : words;
}
