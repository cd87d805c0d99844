/**
 * `tunlog pcap FILE`: the flow log of a capture, printed or sent to a log collection.
 *
 * In: a capture file; addresses and routes from options or from a node's file. Out: messages as lines of JSON, as tables on a
 * terminal, or as entries of a collection; on standard error what was read. Memory is bounded: what cannot be delivered as
 * fast as it is read is waited for.
 */
import { randomBytes } from "node:crypto";
import { CaptureReader, HASH_SECRET_WORDS } from "../packet/mod.ts";
import {
  CaptureLog,
  type CaptureTotals,
  type LoggedWindow,
  messageTable,
  parseMessage,
  UTC,
} from "../netlog/mod.ts";
import { type ParsedArgs, runCommand } from "./args.ts";
import { CapturePost, openCapturePost, postTargetOf } from "./capture_post.ts";
import { type CaptureView, captureViewOf } from "./capture_view.ts";
import { COMMANDS } from "./commands.ts";
import { LOCAL_ZONE } from "./fmt.ts";
import { readInput } from "./input.ts";
import { type CommandIo, EXIT } from "./io.ts";

type PcapArgs = ParsedArgs<typeof COMMANDS.pcap.options>;

/** Where windows go. */
interface WindowOutput {
  write(window: LoggedWindow): void;
  /** Waits until what was written is taken, or nearly. @returns false when nobody takes it any more. */
  flush(): Promise<boolean>;
  /** Waits until all is taken. @throws If it cannot be. */
  close(): Promise<void>;
}

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.pcap, args, io, async (parsed) => {
    const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
    const view = captureViewOf(parsed.values, say);
    const target = postTargetOf(parsed.values);
    const output = target === null
      ? printOutput(parsed, io)
      : postOutput(await openCapturePost(target, say));
    return await readCapture(parsed.positionals[0], view, output, io);
  });
}

async function readCapture(
  path: string,
  view: CaptureView,
  output: WindowOutput,
  io: CommandIo,
): Promise<number> {
  const say = (message: string): void => io.stderr(`tunlog: ${message}\n`);
  const log = new CaptureLog({ ...view, hashSecret: randomSecret(), write: output.write });
  const reader = new CaptureReader((packet) => log.add(packet));
  let problem: string | null = null;
  try {
    for await (const piece of readInput(path, io)) {
      reader.push(piece);
      if (!await output.flush()) return EXIT.DONE;
    }
    problem = reader.end();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    problem = error.message;
  }
  log.end();
  if (!await output.flush()) return EXIT.DONE;
  await output.close();
  for (const line of summary(log.totals, view)) say(line);
  if (problem === null) return EXIT.DONE;
  say(`${problem}${log.totals.packets > 0 ? "; what stands before it was read" : ""}`);
  return EXIT.FAILED;
}

function randomSecret(): Uint32Array {
  const words = new Uint32Array(HASH_SECRET_WORDS);
  new Uint8Array(words.buffer).set(randomBytes(words.byteLength));
  return words;
}

/** What was read, for people. */
export function summary(totals: CaptureTotals, { local }: Pick<CaptureView, "local">): string[] {
  const { packets, counted, bytes, rows, foldedRows, messages, windows } = totals;
  const left = [
    [totals.notIp, "are not IP"],
    [totals.undecodable, "cannot be decoded"],
    [totals.linkTypeUnknown, "are of a link type that is not read"],
  ] as const;
  const others = left.filter(([count]) => count > 0).map(([count, what]) => `, ${count} ${what}`);
  return [
    `${packets} packets: ${counted} counted with ${bytes} bytes${others.join("")}`,
    `${windows} windows, ${messages} messages, ${rows} rows`,
    ...(totals.late > 0
      ? [`${totals.late} packets are older than their window: the capture is not in order`]
      : []),
    ...(foldedRows > 0 ? [`${foldedRows} rows stand for several flows each`] : []),
    ...(local.length === 0
      ? ["tx is what the side sent that was seen first of a connection; --local says it better"]
      : []),
  ];
}

// ---- Outputs --------------------------------------------------------------------------------------------------------

/** Lines of JSON, or tables. */
function printOutput({ values }: PcapArgs, io: CommandIo): WindowOutput {
  const zone = values.utc ? UTC : LOCAL_ZONE;
  const isJson = values.json || !io.isTerminal;
  const decoder = new TextDecoder();
  let text = "";
  return {
    write: ({ messages }) => {
      for (const { bytes } of messages) {
        const line = decoder.decode(bytes);
        text += isJson ? `${line}\n` : messageTable(
          { message: parseMessage(line), logId: "", loggedNs: null },
          { names: null, zone },
        );
      }
    },
    flush: async () => {
      const ready = text;
      text = "";
      return ready === "" || await io.print(ready);
    },
    close: () => Promise.resolve(),
  };
}

function postOutput(post: CapturePost): WindowOutput {
  return {
    write: (window) => post.write(window),
    flush: async () => {
      await post.makeRoom();
      return true;
    },
    close: () => post.close(),
  };
}
