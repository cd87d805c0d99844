/**
 * Messages as they are found in streams of JSON, with what log servers have put beside them.
 *
 * In: raw members of one object (json_stream.ts). Out: a FoundMessage, null if the object is none, or a SyntaxError.
 */
import { type ExactJson, parseExactJson } from "./exact_json.ts";
import type { RawMembers } from "./json_stream.ts";
import { toMembers, toMessage, toText, toTime } from "./parse.ts";
import { LISTS, type Message, WIRE } from "./schema.ts";

/** Members that a server or another reader adds (SPEC 7.2). */
const BESIDE = {
  logtail: "logtail",
  id: "id",
  serverTime: "server_time",
  logged: "logged",
} as const;

/** The time that stands for none in the original: 0001-01-01T00:00:00Z. */
const ZERO_TIME = "0001-01-01T00:00:00Z";

/** Members of a message that are not searched for messages, and the value that each may begin with: any. */
export const MESSAGE_MEMBERS: readonly string[] = [
  ...LISTS.map((list) => WIRE[list]),
  BESIDE.logtail,
  BESIDE.logged,
  WIRE.nodeId,
  WIRE.srcNode,
  WIRE.dstNodes,
  WIRE.start,
  WIRE.end,
];

/** What stands beside an entry. */
export interface Provenance {
  /** Public id of the log; "" = not told. */
  readonly logId: string;
  /** When the server had it; null = not told. */
  readonly loggedNs: bigint | null;
}

/** See file header. */
export interface FoundMessage extends Provenance {
  readonly message: Message;
}

/** Reads a message. @returns null if there is no list of connections. @throws {SyntaxError} If it is wrong. */
export function foundMessage(members: RawMembers): FoundMessage | null {
  if (!LISTS.some((list) => members.has(WIRE[list]))) return null;
  const value = valueOf(members);
  // The original leaves times that are missing at zero; toMessage() wants them.
  const message = toMessage({
    ...value,
    [WIRE.start]: value[WIRE.start] ?? ZERO_TIME,
    [WIRE.end]: value[WIRE.end] ?? ZERO_TIME,
  });
  return { message, ...provenanceOf(members) };
}

/** Reads what stands beside an entry. @throws {SyntaxError} If it is wrong. */
export function provenanceOf(members: RawMembers): Provenance {
  const value = (name: string) => parseExactJson(members.get(name) ?? "null");
  const logtail = value(BESIDE.logtail);
  const beside = logtail === null ? {} : toMembers(logtail, BESIDE.logtail);
  const logged = toTimeOrNull(value(BESIDE.logged), BESIDE.logged) ??
    toTimeOrNull(beside[BESIDE.serverTime], BESIDE.serverTime);
  return { logId: toText(beside[BESIDE.id], BESIDE.id), loggedNs: logged };
}

/** An object of the members, as parseExactJson gives it. */
export function valueOf(members: RawMembers): Readonly<Record<string, ExactJson>> {
  return Object.fromEntries([...members].map(([name, raw]) => [name, parseExactJson(raw)]));
}

function toTimeOrNull(value: ExactJson | undefined, name: string): bigint | null {
  if (value === undefined || value === null || value === ZERO_TIME) return null;
  return toTime(value, name);
}
