// One response while it comes: its text, what it cost, how fast it was.
import { ApiError, streamChat } from "../core/api.js";

const SHORTEST_SECONDS = 0.02; // below it a rate says more of the clock than of the model

/** What an assistant's message begins as. */
export function emptyAnswer(model) {
  return { role: "assistant", model, content: "", reasoning: "", calls: [], usage: null, firstTokenMs: null, durationMs: null, finish: null, error: null, note: "" };
}

/** Fills the answer with what the model says; `onUpdate` is called after every change. Raises nothing. */
export async function generate(answer, { messages, settings, signal, onUpdate }) {
  const started = performance.now();
  const body = { ...settings, model: answer.model, messages };
  const onComment = (text) => {
    answer.note = text === "waiting for a worker" ? "Waiting for a worker to start…" : "";
    onUpdate();
  };
  const onChunk = (chunk) => {
    if (take(chunk, answer) && answer.firstTokenMs === null) answer.firstTokenMs = performance.now() - started;
    answer.note = "";
    onUpdate();
  };
  try {
    await streamChat(body, { signal, onChunk, onComment });
  } catch (error) {
    answer.error = failed(error);
    if (error.name === "AbortError") answer.finish = "stopped";
  }
  answer.note = "";
  answer.durationMs = performance.now() - started;
  onUpdate();
}

function failed(error) {
  if (error.name === "AbortError") return null;
  if (error instanceof ApiError) return { message: error.message, remedy: error.remedy, status: error.status };
  return { message: `The page failed: ${error.message}`, remedy: "Load the page again.", status: 0 };
}

/** Adds a chunk; whether it had anything of the answer. */
function take(chunk, answer) {
  if (chunk.usage) answer.usage = { prompt: count(chunk.usage.prompt_tokens), completion: count(chunk.usage.completion_tokens) };
  const [choice] = Array.isArray(chunk.choices) ? chunk.choices : [];
  if (!choice) return false;
  const { content, refusal, reasoning_content: thought, reasoning, tool_calls: calls } = choice.delta ?? {};
  answer.content += text(content) + text(refusal);
  answer.reasoning += text(thought) || text(reasoning);
  if (Array.isArray(calls)) for (const call of calls) addCall(answer.calls, call);
  if (choice.finish_reason) answer.finish = String(choice.finish_reason);
  return Boolean(content || refusal || thought || reasoning || calls);
}

function addCall(calls, part) {
  const at = Number.isInteger(part?.index) && part.index >= 0 && part.index < 128 ? part.index : 0;
  while (calls.length <= at) calls.push({ id: "", name: "", arguments: "" });
  calls[at].id ||= text(part.id);
  calls[at].name += text(part.function?.name);
  calls[at].arguments += text(part.function?.arguments);
}

function text(value) {
  return typeof value === "string" ? value : "";
}

function count(value) {
  return Number.isFinite(value) ? value : null;
}

/** What is said of an answer's cost and speed, in a few words each. */
export function statistics({ usage, firstTokenMs, durationMs, finish }) {
  const said = [];
  if (usage?.prompt != null) said.push(`${usage.prompt} tokens in`);
  if (usage?.completion != null) said.push(`${usage.completion} out`);
  if (firstTokenMs !== null) said.push(`first after ${seconds(firstTokenMs)}`);
  const generating = (durationMs - firstTokenMs) / 1000;
  if (usage?.completion > 1 && firstTokenMs !== null && generating > SHORTEST_SECONDS) said.push(`${((usage.completion - 1) / generating).toFixed(1)} tokens/s`);
  if (finish === "length") said.push("cut at the limit of tokens");
  if (finish === "stopped") said.push("stopped");
  return said;
}

function seconds(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
