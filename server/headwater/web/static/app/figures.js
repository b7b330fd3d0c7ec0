/** From looks at workers to what all of them do together: each look is answered by any one of them. */

// A worker that was not met for so long is gone.
const GONE_MS = 20_000;
// Over which a rate is measured, and over which a median.
const RATE_MS = 3_000;
const MEDIAN_MS = 60_000;

export class Workers {
  /** @type {Map<string, {at: number, figures: any}[]>} the looks at each, oldest first */
  #looks = new Map();

  /** @param {number} at milliseconds @param {any} figures */
  add(at, figures) {
    const looks = this.#looks.get(figures.worker) ?? [];
    looks.push({ at, figures });
    while (looks.length > 2 && looks[1].at < at - MEDIAN_MS) looks.shift();
    this.#looks.set(figures.worker, looks);
    for (const [worker, [...its]] of this.#looks) {
      if (its.at(-1).at < at - GONE_MS) this.#looks.delete(worker);
    }
  }

  get count() {
    return this.#looks.size;
  }

  /** @param {string} name of a figure that stands for itself */
  sum(name) {
    return this.#newest().reduce((all, { figures }) => all + figures[name], 0);
  }

  /** Events a second; undefined before there are two looks at one worker. */
  rate() {
    let rate;
    for (const looks of this.#looks.values()) {
      const newest = looks.at(-1);
      const older = looks.findLast(({ at }) => at <= newest.at - RATE_MS) ?? looks[0];
      if (older === newest) continue;
      rate = (rate ?? 0) + (Math.max(0, newest.figures.events - older.figures.events) * 1000) / (newest.at - older.at);
    }
    return rate;
  }

  /** The median seconds to a first token of the last minute, by the histogram's bounds; undefined without a run. */
  firstToken() {
    const counts = new Map();
    for (const looks of this.#looks.values()) {
      const before = new Map(looks[0].figures.first_token);
      for (const [bound, count] of looks.at(-1).figures.first_token) {
        const more = looks.length > 1 ? count - (before.get(bound) ?? 0) : 0;
        counts.set(bound, (counts.get(bound) ?? 0) + more);
      }
    }
    const bounds = [...counts].sort(([one], [other]) => one - other);
    const half = (bounds.at(-1)?.[1] ?? 0) / 2;
    if (!(half > 0)) return undefined;
    const at = bounds.findIndex(([, count]) => count >= half);
    const [lowBound, lowCount] = at > 0 ? bounds[at - 1] : [0, 0];
    const [bound, count] = bounds[at];
    return lowBound + (bound - lowBound) * ((half - lowCount) / Math.max(1, count - lowCount));
  }

  /** What each model has done, on all workers. */
  models() {
    const all = new Map();
    for (const { figures } of this.#newest()) {
      for (const { model, started, ended, output_tokens: tokens } of figures.models) {
        const row = all.get(model) ?? { model, started: 0, completed: 0, others: 0, tokens: 0 };
        row.started += started;
        row.tokens += tokens;
        for (const [status, count] of Object.entries(ended)) row[status === "completed" ? "completed" : "others"] += count;
        all.set(model, row);
      }
    }
    return [...all.values()];
  }

  #newest() {
    return [...this.#looks.values()].map((looks) => looks.at(-1));
  }
}
