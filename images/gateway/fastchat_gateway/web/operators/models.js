// The operators' table of models: how each stands, why, and what it does.
import { el } from "../core/dom.js";
import { quantile, sum } from "./metrics.js";
import { Series, sparkline } from "./sparkline.js";

/** What was measured of each model over the last minutes. */
export class ModelHistory {
  #series = new Map();

  /** Adds what happened between two readings, `seconds` apart. */
  add(name, before, after, seconds) {
    const series = this.of(name);
    const rate = (family, labels) => Math.max(0, sum(after, family, labels) - sum(before, family, labels)) / seconds;
    series.requests.add(rate("requests_total", { model: name }));
    series.tokens.add(rate("tokens_total", { model: name, direction: "out" }));
    series.latency.add(quantile(before, after, "time_to_first_byte_seconds", { model: name }, 0.5));
  }

  of(name) {
    if (!this.#series.has(name)) this.#series.set(name, { requests: new Series(), tokens: new Series(), latency: new Series() });
    return this.#series.get(name);
  }
}

/** In one word how a model stands, and a colour for it. */
export function stateOf(model) {
  const ready = conditionOf(model, "Ready");
  if (model.ready >= model.replicas && model.ready > 0) return ["Ready", "good"];
  if (model.ready > 0) return ["Partly ready", "fair"];
  if (!model.replicas && !model.endpoints.length) return ["Asleep", "idle"];
  if (!ready && model.endpoints.some((endpoint) => endpoint.loading)) return ["Loading", "fair"];
  return [String(ready?.reason ?? "Not ready"), "bad"];
}

function conditionOf(model, type) {
  const conditions = Array.isArray(model.status?.conditions) ? model.status.conditions : [];
  return conditions.find((condition) => condition?.type === type) ?? null;
}

/** The root cause in words, where the gateway knows it. */
export function causeOf(model) {
  const ready = conditionOf(model, "Ready");
  if (ready && ready.status !== "True" && ready.message) return String(ready.message);
  const silent = model.endpoints.filter((endpoint) => endpoint.silent).length;
  if (silent) return `${silent} of ${model.endpoints.length} workers do not respond.`;
  const leftOut = model.endpoints.filter((endpoint) => endpoint.left_out_seconds > 0).length;
  if (leftOut) return `${leftOut} of ${model.endpoints.length} workers are left out after failures.`;
  if (!model.ready && model.endpoints.length && !progressOf(model)) return "Its workers are still loading, or away.";
  return "";
}

const PHASES = { Pulling: "Pulling the image", WarmingUp: "Warming up" };

/** How far the workers are that load, as the operator has it, or the one that has said so to the gateway. */
function progressOf(model) {
  const { phase, percent, etaSeconds } = model.status?.progress ?? {};
  if (phase) return progressBar(phase, percent, etaSeconds);
  const loading = model.endpoints.find((endpoint) => endpoint.loading);
  return loading ? loadingOf(loading) : null;
}

function loadingOf({ loading }) {
  if (!loading) return null;
  const { phase, done, total, seconds } = loading;
  return progressBar(phase, total > 0 ? (100 * done) / total : null, seconds);
}

function progressBar(phase, percent, seconds) {
  const parts = [PHASES[phase] ?? String(phase)];
  if (Number.isFinite(percent)) parts.push(`${Math.round(percent)} %`);
  if (Number.isFinite(seconds)) parts.push(`${Math.round(seconds)} s left`);
  const text = parts.join(", ");
  return el("span", { class: "progress" }, el("progress", { max: 100, value: Number.isFinite(percent) ? percent : null, "aria-label": text }), text);
}

/** A row of the table. */
export function modelRow(model, history) {
  const [state, colour] = stateOf(model);
  const series = history.of(model.name);
  const cause = causeOf(model);
  const about = [model.task, model.parent && `adapter of ${model.parent}`, model.aliases.length && `also ${model.aliases.join(", ")}`].filter(Boolean).join(" · ");
  return el("tr", {},
    el("th", { scope: "row" }, el("span", { class: "name" }, model.name), about && el("small", {}, about)),
    el("td", {}, el("span", { class: `state ${colour}` }, state), progressOf(model), cause && el("small", { class: "cause" }, cause)),
    el("td", { class: "number" }, `${model.ready}/${model.replicas}`),
    el("td", { class: "number" }, String(model.in_flight)),
    el("td", { class: "number" }, String(model.held)),
    el("td", {}, sparkline(series.requests, `Requests of ${model.name}`, (value) => `${value.toFixed(1)}/s`)),
    el("td", {}, sparkline(series.tokens, `Tokens of ${model.name}`, (value) => `${value.toFixed(0)}/s`)),
    el("td", {}, sparkline(series.latency, `Time to first byte of ${model.name}`, duration)));
}

function duration(seconds) {
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** Rows of workers. */
export function workerRows(model) {
  return model.endpoints.map((endpoint) => {
    const state = endpoint.silent ? ["Silent", "bad"] : endpoint.left_out_seconds > 0 ? [`Left out for ${Math.ceil(endpoint.left_out_seconds)} s`, "fair"] : endpoint.ready ? ["Ready", "good"] : ["Not ready", "bad"];
    return el("tr", {}, el("td", {}, model.name), el("th", { scope: "row" }, endpoint.url), el("td", {}, el("span", { class: `state ${state[1]}` }, state[0]), loadingOf(endpoint)), el("td", { class: "number" }, String(endpoint.outstanding)));
  });
}
