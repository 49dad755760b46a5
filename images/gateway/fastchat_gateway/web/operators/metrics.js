// Prometheus' text format, read: https://prometheus.io/docs/instrumenting/exposition_formats/

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/y;
const PREFIX = "fastchat_gateway_";

/** Samples of the gateway by name without its prefix: a list of `{labels, value}` each. */
export function parseMetrics(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
    if (!name?.startsWith(PREFIX)) continue;
    const short = name.slice(PREFIX.length);
    if (!found.has(short)) found.set(short, []);
    found.get(short).push({ labels: readLabels(labels), value: Number(value) });
  }
  return found;
}

function readLabels(text) {
  const labels = new Map();
  LABEL.lastIndex = 0;
  for (let match = LABEL.exec(text); match; match = LABEL.exec(text)) {
    labels.set(match[1], match[2].replace(/\\(.)/g, (_, character) => (character === "n" ? "\n" : character)));
  }
  return labels;
}

/** The sum of a family's samples with these labels. */
export function sum(metrics, name, wanted = {}) {
  const samples = metrics.get(name) ?? [];
  const fits = ({ labels }) => Object.entries(wanted).every(([label, value]) => labels.get(label) === value);
  return samples.filter(fits).reduce((total, { value }) => total + value, 0);
}

/** The share of `quantile` of the observations between two readings of a histogram, in seconds; null without any. */
export function quantile(before, after, name, wanted, share) {
  const bounds = [...new Set((after.get(`${name}_bucket`) ?? []).map(({ labels }) => labels.get("le")))];
  const gained = bounds.map((le) => [Number(le === "+Inf" ? Infinity : le), sum(after, `${name}_bucket`, { ...wanted, le }) - sum(before, `${name}_bucket`, { ...wanted, le })]);
  gained.sort(([a], [b]) => a - b);
  const total = gained.at(-1)?.[1] ?? 0;
  if (!(total > 0)) return null;
  const rank = share * total;
  let [lower, below] = [0, 0];
  for (const [bound, count] of gained) {
    if (count >= rank) return bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / Math.max(1, count - below);
    [lower, below] = [bound, count];
  }
  return null;
}
