/** A line over the last minutes, drawn as SVG. */

const WIDTH = 240;
const HEIGHT = 64;
// At first it shows less, so that there is something to see.
const LEAST_MS = 15_000;
const SVG = "http://www.w3.org/2000/svg";

/** @param {string} name @param {string} className */
function shape(name, className) {
  const element = document.createElementNS(SVG, name);
  element.setAttribute("class", className);
  return element;
}

export class Chart {
  #points = [];
  #line = shape("path", "line");
  #area = shape("path", "area");

  /** @param {Element} svg @param {number} spanMs how far it goes back */
  constructor(svg, spanMs) {
    this.spanMs = spanMs;
    const base = shape("path", "base");
    base.setAttribute("d", `M0 ${HEIGHT - 0.5}H${WIDTH}`);
    svg.replaceChildren(base, this.#area, this.#line);
  }

  /** @param {number} at milliseconds @param {number | undefined} value undefined where nothing is known */
  add(at, value) {
    this.#points.push([at, value]);
    while (this.#points.length > 1 && this.#points[1][0] < at - this.spanMs) this.#points.shift();
    this.#draw(at);
  }

  #draw(now) {
    const known = this.#points.filter(([, value]) => value !== undefined);
    const top = Math.max(1e-9, ...known.map(([, value]) => value)) * 1.12;
    const span = Math.min(this.spanMs, Math.max(LEAST_MS, now - this.#points[0][0]));
    const x = (at) => (WIDTH - ((now - at) / span) * WIDTH).toFixed(1);
    const y = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 3)).toFixed(1);
    let line = "";
    let area = "";
    let run = [];
    for (const [at, value] of [...this.#points, [now, undefined]]) {
      if (value !== undefined) {
        run.push([x(at), y(value)]);
        continue;
      }
      if (run.length > 1) {
        const path = run.map((point) => point.join(" ")).join("L");
        line += `M${path}`;
        area += `M${run[0][0]} ${HEIGHT - 1}L${path}L${run.at(-1)[0]} ${HEIGHT - 1}Z`;
      }
      run = [];
    }
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", area);
  }
}
