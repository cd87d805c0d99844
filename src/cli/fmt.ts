/**
 * `tunlog fmt [FILE]`: prints flow logs as tables, as netlogfmt does (SPEC 7).
 *
 * In: JSON in any nesting, as a stream. Out: a table for each message when it is complete, a block for each gap record,
 * self-report and, if wanted, text. Nothing but open messages is held.
 */
import { parseGap } from "../logtail/mod.ts";
import {
  type AddressName,
  foundMessage,
  JsonStream,
  MESSAGE_MEMBERS,
  messageTable,
  parseExactJson,
  parseReport,
  provenanceOf,
  type RawMembers,
  type TableOptions,
  UTC,
  valueOf,
  type ZoneOffset,
} from "../netlog/mod.ts";
import { runCommand, UsageError } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { gapBlock, reportBlock, textBlock } from "./entry_blocks.ts";
import { readInput } from "./input.ts";
import { type CommandIo, EXIT } from "./io.ts";

/** How entries are printed. */
export interface FormatOptions extends TableOptions {
  /** Texts as well. */
  readonly all: boolean;
}

/** Zone of this machine. */
export const LOCAL_ZONE: ZoneOffset = (wallMs) => -new Date(wallMs).getTimezoneOffset();

const GAP = "gap";
const TEXT = "text";
const OWN = "tunlog";

/** Members to look for, and what their values begin with: a member `text` that is an object is somebody else's. */
const WANTED: ReadonlyMap<string, RegExp> = new Map([
  ...MESSAGE_MEMBERS.map((name) => [name, /./] as const),
  [GAP, /\{/],
  [OWN, /\{/],
  [TEXT, /"/],
]);

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.fmt, args, io, async ({ values, positionals }) => {
    const names = values["resolve-names"] ? "name" : addressNameOf(values["resolve-addrs"] ?? "");
    const options = { names, zone: values.utc ? UTC : LOCAL_ZONE, all: values.all };
    return await formatStream(readInput(positionals[0], io), options, io);
  });
}

/** What `--resolve-addrs` means; null = nothing. @throws {UsageError} If it means nothing known. */
export function addressNameOf(text: string): AddressName | null {
  const known: Readonly<Record<string, AddressName>> = {
    id: "nodeid",
    nodeid: "nodeid",
    name: "name",
    hostname: "name",
    user: "user",
    tag: "user",
    usertag: "user",
    taguser: "user",
  };
  const word = text.toLowerCase().replace(/s$/, "").replace(/[ _-]/g, "");
  if (word === "") return null;
  if (Object.hasOwn(known, word)) return known[word];
  throw new UsageError('--resolve-addrs must be "nodeId", "name", or "user"');
}

/** Prints all entries of a stream. @returns Exit code. */
export async function formatStream(
  input: AsyncIterable<Uint8Array>,
  options: FormatOptions,
  io: CommandIo,
): Promise<number> {
  let output = "";
  const stream = new JsonStream(WANTED, (members) => output += entryText(members, options));
  const decoder = new TextDecoder();
  const flush = async (): Promise<boolean> => {
    const text = output;
    output = "";
    return text === "" || await io.print(text);
  };
  try {
    for await (const piece of input) {
      stream.push(decoder.decode(piece, { stream: true }));
      if (!await flush()) return EXIT.DONE;
    }
    stream.push(decoder.decode());
    stream.end();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    // What is complete is printed, as the original does.
    if (!await flush()) return EXIT.DONE;
    throw new Error(`processStream: ${error.message}`, { cause: error });
  }
  return EXIT.DONE;
}

/** Text of one entry; "" = nothing to print. @throws {SyntaxError} If it is one of ours, but wrong. */
function entryText(members: RawMembers, options: FormatOptions): string {
  const { zone } = options;
  const found = foundMessage(members);
  if (found !== null) return messageTable(found, options);
  const gap = members.get(GAP);
  if (gap !== undefined && isGap(gap)) {
    return gapBlock(parseGap(`{"${GAP}":${gap}}`), provenanceOf(members), zone);
  }
  const report = members.has(OWN) ? parseReport(valueOf(members)) : null;
  if (report !== null) return reportBlock(report, provenanceOf(members), zone);
  const text = members.get(TEXT);
  if (!options.all || text === undefined) return "";
  return textBlock(String(parseExactJson(text)), provenanceOf(members), zone);
}

/** Whether a member of this name is a gap record's: somebody else's object may have one as well. */
function isGap(raw: string): boolean {
  const value = parseExactJson(raw);
  return value !== null && typeof value === "object" && "lost" in value;
}
