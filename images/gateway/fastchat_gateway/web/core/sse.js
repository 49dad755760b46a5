// Server-sent events, read as they come: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

/** Reads pieces of a stream, cut anywhere. */
export class EventParser {
  #rest = "";
  #data = [];

  /** The data of the events that this piece completes; `comment` is called with the text of each comment. */
  push(piece, comment = () => {}) {
    const events = [];
    const lines = (this.#rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length) events.push(this.#data.join("\n"));
        this.#data = [];
      } else if (line.startsWith(":")) {
        comment(line.slice(1).trim());
      } else if (line.startsWith("data:")) {
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    return events;
  }
}
