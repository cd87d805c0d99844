/**
 * `tunlog demo --pcap`: the made-up capture, read and logged as `tunlog pcap --config` would with alpha's file, as a table.
 */
import { randomBytes } from "node:crypto";
import { CaptureLog, type LoggedWindow, parseMessage } from "../../netlog/mod.ts";
import { parseNodeConfig } from "../../node/mod.ts";
import { CaptureReader, HASH_SECRET_WORDS } from "../../packet/mod.ts";
import { viewOfConfig } from "../capture_view.ts";
import type { CommandIo } from "../io.ts";
import { summary } from "../pcap.ts";
import { CAPTURE_S, demoCapture } from "./capture.ts";
import { makeKeys } from "./nodes.ts";
import { Screen } from "./screen.ts";
import { nodeConfig } from "./topology.ts";

/** Seconds of a window, so that the lines are few. */
const PERIOD_S = 4;

/** Shows it. */
export async function showCapture(io: CommandIo): Promise<void> {
  const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
  const config = parseNodeConfig(
    nodeConfig("alpha", makeKeys(), [`Period = ${PERIOD_S}`]),
    "alpha.conf",
  );
  const view = viewOfConfig(
    config,
    { local: undefined, "exit-mode": undefined, period: undefined },
    say,
  );
  const screen = new Screen({
    io,
    isLive: false,
    onGone: () => {},
    head:
      () => ["", `tunlog demo --pcap  ${CAPTURE_S} s of a made-up capture, as alpha logs it`, ""],
  });
  const decoder = new TextDecoder();
  const write = ({ messages }: LoggedWindow): void => {
    for (const { bytes } of messages) screen.add(parseMessage(decoder.decode(bytes)));
  };
  const hashSecret = new Uint32Array(HASH_SECRET_WORDS);
  new Uint8Array(hashSecret.buffer).set(randomBytes(hashSecret.byteLength));
  const log = new CaptureLog({ ...view, hashSecret, write });
  const reader = new CaptureReader((packet) => log.add(packet));
  // On the grid of windows, that all are whole.
  const periodMs = PERIOD_S * 1_000;
  reader.push(demoCapture(Math.floor(Date.now() / periodMs) * periodMs - CAPTURE_S * 1_000 + 1));
  reader.end();
  log.end();
  screen.close();
  // The summary is to stand below the table.
  await io.print("");
  for (const line of summary(log.totals, view)) say(line);
}
