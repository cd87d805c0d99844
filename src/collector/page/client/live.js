// @ts-check
/// <reference lib="dom" />
/**
 * The collector's news: windows as they are stored.
 *
 * In: listeners. Out: each window once; whether the stream is there. It comes back by itself and misses nothing in between,
 * with longer and longer waits while the collector cannot be reached.
 */
import { ApiError, apiUrl, request } from "./api.js";
import { EventReader } from "./event_stream.js";
import { parseExact } from "./exact_json.js";

/** @typedef {"off" | "connecting" | "live"} LiveState */

const WAIT_MS_MIN = 1_000;
const WAIT_MS_MAX = 15_000;
/** The collector says that it lives every 15 s. */
const SILENCE_MS_MAX = 40_000;

export class Live {
  /** @type {AbortController | null} */
  #running = null;
  /** @type {LiveState} */
  state = "off";

  /**
   * @param {{ onWindow: (window: any) => void, onState: (state: LiveState, error: unknown) => void }} options
   */
  constructor(options) {
    this.options = options;
  }

  start() {
    if (this.#running !== null) return;
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#set("off");
  }

  /** @param {AbortSignal} signal */
  async #run(signal) {
    const reader = new EventReader();
    let waitMs = WAIT_MS_MIN;
    while (!signal.aborted) {
      this.#set("connecting");
      let error;
      try {
        await this.#follow(reader, signal, () => waitMs = WAIT_MS_MIN);
      } catch (caught) {
        error = caught;
      }
      if (signal.aborted) return;
      this.#set("connecting", error);
      if (error instanceof ApiError && (error.kind === "login" || error.kind === "forbidden")) {
        return this.stop();
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(WAIT_MS_MAX, waitMs * 2);
    }
  }

  /** @param {EventReader} events @param {AbortSignal} signal @param {() => void} onOpen */
  async #follow(events, signal, onOpen) {
    events.reset();
    const silence = new AbortController();
    const both = AbortSignal.any([signal, silence.signal]);
    const response = await request(apiUrl("/live"), {
      signal: both,
      headers: { "x-tunlog-page": "1", ...(events.id !== "" && { "last-event-id": events.id }) },
    });
    onOpen();
    this.#set("live");
    const pieces = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const timer = setTimeout(() => silence.abort(), SILENCE_MS_MAX);
      const { value, done } = await (pieces?.read() ?? { value: undefined, done: true });
      clearTimeout(timer);
      if (done) return;
      for (const { name, data } of events.read(value ?? "")) {
        if (name === "window") this.options.onWindow(parseExact(data));
      }
    }
  }

  /** @param {LiveState} state @param {unknown} [error] */
  #set(state, error) {
    this.state = state;
    this.options.onState(state, error);
  }
}
