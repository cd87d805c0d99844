/**
 * The member `logtail` of an entry: who wrote it, when, as which one (SPEC 2.3); and errors as entries.
 *
 * In: its value. Out: an EntryName and the member as it is to be kept. Members that clients may not set are moved into its
 * `error`, so that nothing is lost and nothing is forged. Those that a server sets are dropped: they are set anew.
 */
import { type ExactJson } from "../../netlog/mod.ts";
import { parseTime } from "../../time_text.ts";
import { exactText, membersText } from "./json_bytes.ts";

/** What `logtail` says. */
export interface NamedLogtail {
  readonly procId: number;
  readonly procSeq: number;
  readonly clientTimeNs: bigint | null;
  /** Whether the client, or this reader, has found an error. */
  readonly hasError: boolean;
  /** The member's value as it is to be kept. */
  readonly text: string;
}

/** Members that servers set (SPEC 3). */
const SERVER_MEMBERS = ["server_time", "id", "instance"];
/** Unix times that a store keeps: ns in 63 bits, to the year 2262. */
const TIME_NS_MAX = 2n ** 63n - 1n;

/** Whether a store can keep the time. */
export function isKeptTime(ns: bigint): boolean {
  return ns >= 0n && ns <= TIME_NS_MAX;
}

/** Reads the member. @param text Its JSON text; "" = there is none. */
export function readLogtail(value: ExactJson | undefined, text: string): NamedLogtail {
  if (value === undefined) {
    return { procId: 0, procSeq: 0, clientTimeNs: null, hasError: false, text: "{}" };
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    const moved = errorText("logtail is not an object", text);
    return {
      procId: 0,
      procSeq: 0,
      clientTimeNs: null,
      hasError: true,
      text: `{"error":${moved}}`,
    };
  }
  return readMembers(value as Readonly<Record<string, ExactJson>>, text);
}

function readMembers(members: Readonly<Record<string, ExactJson>>, text: string): NamedLogtail {
  let procId = 0;
  let procSeq = 0;
  let clientTimeNs: bigint | null = null;
  let isKept = true;
  const kept: [string, ExactJson][] = [];
  const moved: [string, ExactJson][] = [];
  for (const [name, value] of Object.entries(members)) {
    let isFine = false;
    if (name === "client_time") {
      const ns = typeof value === "string" ? parseTime(value) : null;
      isFine = ns !== null && isKeptTime(ns);
      if (isFine) clientTimeNs = ns;
    } else if (name === "proc_id") {
      isFine = isWhole(value, 2 ** 32 - 1);
      if (isFine) procId = value as number;
    } else if (name === "proc_seq") {
      isFine = isWhole(value, Number.MAX_SAFE_INTEGER);
      if (isFine) procSeq = value as number;
    } else if (name === "error") {
      isFine = true;
    } else if (SERVER_MEMBERS.includes(name)) {
      isKept = false;
      continue;
    }
    if (isFine) kept.push([name, value]);
    else moved.push([name, value]);
  }
  const hasError = moved.length > 0 || Object.hasOwn(members, "error");
  const about = { procId, procSeq, clientTimeNs, hasError };
  if (moved.length === 0) return { ...about, text: isKept ? text : membersText(kept) };
  // A client's own error stays beside what was moved.
  const own = kept.filter(([name]) => name === "error");
  const error = errorText(
    "logtail has members that clients may not set, or not so",
    membersText([...moved, ...own]),
  );
  const rest = membersText(kept.filter(([name]) => name !== "error"));
  return { ...about, text: withMember(rest, `"error":${error}`) };
}

function isWhole(value: ExactJson, max: number): boolean {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

/** `{"detail":…,"bad_data":…}`. @param dataJson Absent: no data. */
export function errorText(detail: string, dataJson?: string): string {
  const data = dataJson === undefined ? "" : `,"bad_data":${dataJson}`;
  return `{"detail":${exactText(detail.toWellFormed())}${data}}`;
}

/** The member with an error of ours. A client's own goes into its `bad_data`. */
export function withError(logtail: NamedLogtail, detail: string): string {
  if (!logtail.hasError) return withMember(logtail.text, `"error":${errorText(detail)}`);
  const members = JSON.parse(logtail.text) as Record<string, ExactJson>;
  const { error, ...rest } = members;
  return withMember(
    membersText(Object.entries(rest)),
    `"error":${errorText(detail, exactText(error))}`,
  );
}

/** An object's text with one member more. */
export function withMember(objectText: string, memberText: string): string {
  const open = objectText.slice(0, objectText.lastIndexOf("}")).trimEnd();
  return `${open}${open.endsWith("{") ? "" : ","}${memberText}}`;
}
