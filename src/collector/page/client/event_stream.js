// @ts-check
/**
 * Server-sent events out of pieces of text, however the network cut them (HTML Standard 9.2.6).
 *
 * In: pieces. Out: events. EventSource would do the same, but hides why a connection was refused, and lets the browser ask
 * for a password.
 */

/** @typedef {{ name: string, data: string, id: string }} StreamEvent */

export class EventReader {
  #rest = "";
  #name = "";
  /** @type {string[]} */
  #data = [];
  #nextId = "";
  /** Id of the newest event that was whole: what to go on from. */
  id = "";

  /** Forgets what a connection that broke off left unsaid: the next one begins anew, behind the newest whole event. */
  reset() {
    this.#rest = "";
    this.#name = "";
    this.#data = [];
    this.#nextId = this.id;
  }

  /**
   * @param {string} piece
   * @returns {StreamEvent[]} Events that are whole.
   */
  read(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop() ?? "";
    /** @type {StreamEvent[]} */
    const events = [];
    for (const line of lines) this.#take(line.replace(/\r$/, ""), events);
    return events;
  }

  /** @param {string} line @param {StreamEvent[]} events */
  #take(line, events) {
    if (line === "") {
      this.id = this.#nextId;
      if (this.#data.length > 0) {
        events.push({ name: this.#name || "message", data: this.#data.join("\n"), id: this.id });
      }
      this.#name = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id" && !value.includes("\0")) this.#nextId = value;
  }
}
