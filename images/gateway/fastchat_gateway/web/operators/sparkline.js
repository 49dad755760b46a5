// A line of the last minutes, small enough for a table.
import { el, svg } from "../core/dom.js";

const WIDTH = 120;
const HEIGHT = 28;
const POINTS = 60;

/** A series of numbers, of which the last minutes are kept; null: nothing was measured then. */
export class Series {
  values = [];

  add(value) {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
  }

  get last() {
    return this.values.findLast((value) => value !== null) ?? null;
  }

  get most() {
    return Math.max(0, ...this.values.filter((value) => value !== null));
  }
}

/** The series as a picture with its last value beside it; `show` writes a value with its unit. */
export function sparkline(series, name, show) {
  const { values, last, most } = series;
  const now = last === null ? "–" : show(last);
  const picture = svg("svg", { class: "sparkline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name}: now ${now}, at most ${most ? show(most) : "–"}` },
    ...segments(values, most || 1).map((points) => svg("polyline", { points })));
  return el("span", { class: "measured" }, picture, el("span", {}, now));
}

function segments(values, most) {
  const found = [[]];
  values.forEach((value, at) => {
    if (value === null) found.push([]);
    else found.at(-1).push(`${((at * WIDTH) / (POINTS - 1)).toFixed(1)},${(HEIGHT - 2 - ((HEIGHT - 4) * value) / most).toFixed(1)}`);
  });
  return found.filter((points) => points.length).map((points) => (points.length === 1 ? [points[0], points[0]] : points).join(" "));
}
