// What operators see: read from the gateway every two seconds while somebody looks, and changed by nobody here.
import { ApiError, getJson, getText } from "../core/api.js";
import { byId, el, setText } from "../core/dom.js";
import { askForKey, onKeyChange } from "../core/key.js";
import { keyRow } from "./keys.js";
import { parseMetrics, sum } from "./metrics.js";
import { ModelHistory, modelRow, workerRows } from "./models.js";

const PERIOD_MS = 2000;
const REFUSED = "This view needs the internal token, or an API key made with `fastchat keys create --operator`. Press Key to enter it.";

export class OperatorsView {
  #timer = 0;
  #active = false;
  #history = new ModelHistory();
  #before = null;

  constructor() {
    onKeyChange(() => this.#active && this.#look());
  }

  start() {
    if (this.#active) return;
    this.#active = true;
    this.#look();
  }

  stop() {
    this.#active = false;
    clearTimeout(this.#timer);
  }

  async #look() {
    clearTimeout(this.#timer);
    let again = true;
    try {
      const [overview, text] = await Promise.all([getJson("internal/overview"), getText("metrics")]);
      this.#show(overview, parseMetrics(text));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      again = error.status !== 401;
      this.#refused(error);
    }
    clearTimeout(this.#timer);
    if (again && this.#active) this.#timer = setTimeout(() => this.#look(), PERIOD_MS);
  }

  #refused(error) {
    byId("operators-data").hidden = true;
    setText(byId("operators-problem"), error.status === 401 ? REFUSED : `${error.message} ${error.remedy}`);
    if (error.status === 401 && this.#active) askForKey(REFUSED);
  }

  #show(overview, metrics) {
    const now = performance.now();
    for (const { name } of this.#before ? overview.models : []) this.#history.add(name, this.#before.metrics, metrics, (now - this.#before.at) / 1000);
    this.#before = { metrics, at: now };
    setText(byId("operators-problem"), "");
    byId("operators-data").hidden = false;
    setText(byId("operators-summary"), summary(overview, metrics));
    rows("models-rows", overview.models.map((model) => modelRow(model, this.#history)), 8, "No model is served.");
    rows("workers-rows", overview.models.filter((model) => !model.parent).flatMap(workerRows), 4, "No worker.");
    rows("keys-rows", overview.keys.map((key) => keyRow(key, metrics)), 7, "No API key: the gateway serves everybody who reaches it.");
  }
}

/** Puts rows into a table, but not while somebody has marked a text in it. */
function rows(id, made, columns, otherwise) {
  const body = byId(id);
  const selection = getSelection();
  if (selection && !selection.isCollapsed && body.contains(selection.anchorNode)) return;
  body.replaceChildren(...(made.length ? made : [el("tr", {}, el("td", { colspan: columns }, otherwise))]));
}

function summary(overview, metrics) {
  const said = [`FastChat ${overview.version}`, overview.stopping ? "stopping" : "serving"];
  if (overview.discovery) said.push(overview.discovery.connected ? "follows the Kubernetes API" : `no word from the Kubernetes API for ${Math.round(overview.discovery.seconds)} s`);
  said.push(`${sum(metrics, "open_connections")} connections`, `${sum(metrics, "streams")} streams`, `${sum(metrics, "requests_held")} requests held`);
  return said.join(" · ");
}
