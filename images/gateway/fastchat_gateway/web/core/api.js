// The gateway's API, as seen from the page that it has served.
import { EventParser } from "./sse.js";
import { currentKey } from "./key.js";

/** Why a request was refused: the API's own words, and what to do about it. */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "", retryAfter = null } = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.remedy = remedyFor(status, code, retryAfter);
  }
}

function remedyFor(status, code, retryAfter) {
  const later = retryAfter ? `Try again in ${retryAfter} s.` : "Try again in a moment.";
  if (status === 0) return "Is the gateway running, and does your network reach it? Then try again.";
  if (status === 401) return "Enter a key that this gateway knows: press Key at the top.";
  if (code === "model_not_allowed") return "Choose a model that your key is for, or enter another key.";
  if (status === 404) return "Choose another model: this one is not served here.";
  if (status === 413) return "Send less: start a new chat, or shorten the message.";
  if (status === 429 || status === 503) return later;
  if (status === 504 || status === 502) return "A worker failed. Try again; the operators' view shows how it stands.";
  if (status >= 500) return "Try again; if it happens again, whoever runs the gateway finds the cause in its log.";
  return "Change the message or the settings, then try again.";
}

async function send(path, options = {}) {
  const headers = { ...options.headers };
  const key = options.key ?? currentKey();
  if (key) headers.authorization = `Bearer ${key}`;
  try {
    return await fetch(new URL(path, document.baseURI), { ...options, headers, credentials: "omit", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The gateway cannot be reached.");
  }
}

async function failure(response) {
  let said = {};
  try {
    said = (await response.json()).error ?? {};
  } catch {
    // Not in OpenAI's shape: a proxy in between has answered.
  }
  const message = typeof said.message === "string" && said.message ? said.message : `The response was ${response.status}.`;
  return new ApiError(message, {
    status: response.status,
    code: typeof said.code === "string" ? said.code : "",
    retryAfter: response.headers.get("retry-after"),
  });
}

/** A document of the gateway; raises ApiError. */
export async function getJson(path, options) {
  const response = await send(path, options);
  if (!response.ok) throw await failure(response);
  return response.json();
}

/** A text of the gateway; raises ApiError. */
export async function getText(path, options) {
  const response = await send(path, options);
  if (!response.ok) throw await failure(response);
  return response.text();
}

/** The models that can be chatted with, in the gateway's order; raises ApiError. */
export async function listModels() {
  const { data = [] } = await getJson("v1/models");
  const cards = data.filter((card) => card && typeof card.id === "string");
  return cards.filter((card) => card.task === undefined || card.task === null || card.task === "Generate");
}

/**
 * Sends a chat and calls `onChunk` with each of its chunks, `onComment` with what the gateway says meanwhile.
 * Raises ApiError, or AbortError where `signal` ended it.
 */
export async function streamChat(body, { signal, onChunk, onComment }) {
  const response = await send("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  if (!response.ok) throw await failure(response);
  const events = new EventParser();
  const text = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let piece = await text.read(); !piece.done; piece = await text.read()) {
      for (const data of events.push(piece.value, onComment)) {
        if (data === "[DONE]") return;
        onChunk(read(data));
      }
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError("The connection to the gateway was lost in the middle of the response.");
  }
  throw new ApiError("The response ended before it was complete.", { status: 502 });
}

function read(data) {
  let chunk = null;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new ApiError("The response makes no sense: an event of the stream is not JSON.", { status: 502 });
  }
  if (chunk?.error) {
    const { message, code } = chunk.error;
    throw new ApiError(String(message ?? "The stream broke."), { status: 500, code: String(code ?? "") });
  }
  return chunk ?? {};
}
