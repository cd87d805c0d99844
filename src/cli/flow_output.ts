/**
 * Where the flow log's lines go: standard output, a file, or nowhere.
 *
 * In: `Output` of `[FlowLog]`. Out: a FlowSink. A file is opened for each line and appended to, so that log rotation
 * needs no signal.
 */
import { appendFileSync } from "node:fs";
import type { FlowSink, NodeConfig } from "../node/mod.ts";
import type { CommandIo } from "./io.ts";

/** Owner only: a flow log says who talks to whom. */
const FILE_MODE = 0o600;

/**
 * Makes the sink; null = no output is wanted.
 * @throws If the file cannot be written to.
 */
export function openFlowOutput({ flowLog }: NodeConfig, io: CommandIo): FlowSink | null {
  const { output } = flowLog;
  switch (output.kind) {
    case "none":
      return null;
    case "stdout":
      return { write: (line) => io.stdout(`${line}\n`) };
    case "file": {
      const append = (text: string): void => appendFileSync(output.path, text, { mode: FILE_MODE });
      // A path that cannot be written to must be told at the start, not after the first window.
      append("");
      return { write: (line) => append(`${line}\n`) };
    }
  }
}
