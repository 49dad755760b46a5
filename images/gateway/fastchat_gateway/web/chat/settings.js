// What a chat's requests are sent with.
import { byId, el } from "../core/dom.js";

const NUMBERS = [
  ["temperature", "Temperature", 0, 2, 0.1, "How freely the model chooses; 0: always the likeliest token."],
  ["top_p", "Top p", 0, 1, 0.05, "Choose among the likeliest tokens that have this much probability together."],
  ["max_tokens", "Most tokens", 1, 1_000_000, 1, "Longest response; left out: up to the end of the context."],
  ["presence_penalty", "Presence penalty", -2, 2, 0.1, "Above 0: rather something new."],
  ["frequency_penalty", "Frequency penalty", -2, 2, 0.1, "Above 0: fewer repetitions."],
  ["seed", "Seed", 0, 2 ** 31, 1, "The same seed gives the same response."],
];

/** Builds the form; `onChange` gets the settings whenever somebody saves them. */
export function startSettings(current, onChange) {
  const dialog = byId("settings-dialog");
  byId("settings-numbers").append(...NUMBERS.map(field));
  byId("settings-button").addEventListener("click", () => {
    fill(current());
    dialog.showModal();
  });
  byId("settings-cancel").addEventListener("click", () => dialog.close());
  byId("settings-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const [settings, problem] = read();
    byId("settings-problem").textContent = problem;
    if (problem) return;
    dialog.close();
    onChange(settings);
  });
}

function field([name, label, min, max, step, about]) {
  const input = el("input", { id: `set-${name}`, type: "number", min, max, step: step === 1 ? 1 : "any", "aria-describedby": `about-${name}`, placeholder: "default" });
  return el("div", { class: "field" }, el("label", { for: `set-${name}` }, label), input, el("small", { id: `about-${name}` }, about));
}

function fill(settings) {
  byId("set-system").value = settings.system ?? "";
  byId("set-stop").value = Array.isArray(settings.stop) ? settings.stop.join("\n") : "";
  byId("set-tools").value = settings.tools ? JSON.stringify(settings.tools, null, 2) : "";
  for (const [name] of NUMBERS) byId(`set-${name}`).value = settings[name] ?? "";
  byId("settings-problem").textContent = "";
}

/** The settings, without those that were left out, and what is wrong with them. */
function read() {
  const settings = {};
  const system = byId("set-system").value;
  if (system.trim()) settings.system = system;
  const stop = byId("set-stop").value.split("\n").filter(Boolean);
  if (stop.length) settings.stop = stop;
  for (const [name, label, min, max] of NUMBERS) {
    const text = byId(`set-${name}`).value.trim();
    if (!text) continue;
    const number = Number(text);
    if (!(number >= min && number <= max)) return [{}, `${label} is a number from ${min} to ${max}.`];
    settings[name] = number;
  }
  const tools = byId("set-tools").value.trim();
  if (!tools) return [settings, ""];
  try {
    settings.tools = JSON.parse(tools);
  } catch (error) {
    return [{}, `Tools are no JSON: ${error.message}.`];
  }
  return Array.isArray(settings.tools) ? [settings, ""] : [{}, "Tools are a JSON array of functions, as OpenAI's API takes them."];
}

/** Settings out of a file, only those that are known. */
export function knownSettings(settings) {
  const names = ["system", "stop", "tools", ...NUMBERS.map(([name]) => name)];
  return Object.fromEntries(names.filter((name) => settings?.[name] != null).map((name) => [name, settings[name]]));
}
