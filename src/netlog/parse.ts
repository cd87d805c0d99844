/**
 * Reading messages of the flow log, of the original's two shapes and of tunlog.
 *
 * In: JSON from outside. Out: a Message, or a SyntaxError that says what is wrong where. Guarantees: integers are exact
 * to 2^64 - 1; members that are absent or null are zero; members that are not known are ignored, `logtail` among them;
 * nothing else is thrown.
 */
import { addressPortText, parseAddressPort } from "../packet/mod.ts";
import { type Count, COUNT_MAX, type Counts, toCount as asCount } from "./counts.ts";
import { type ExactJson, parseExactJson } from "./exact_json.ts";
import { EXIT_MODES, type ExitMode } from "./exit_mode.ts";
import {
  type Connection,
  type Extension,
  type ListName,
  type Message,
  type NodeInfo,
  WIRE,
} from "./schema.ts";
import { parseTime } from "../time_text.ts";

/** Members of an object from outside. */
export type Members = Readonly<Record<string, ExactJson | undefined>>;

/**
 * Reads one message.
 * @throws {SyntaxError} If the text is not JSON, or not a message.
 */
export function parseMessage(text: string): Message {
  return toMessage(parseExactJson(text));
}

/**
 * Reads a message that has been taken out of something larger, such as an entry of a log server.
 * @param value As parseExactJson gives it.
 * @throws {SyntaxError} If it is not a message.
 */
export function toMessage(value: ExactJson): Message {
  const members = toMembers(value, "message");
  const srcNode = members[WIRE.srcNode];
  return {
    nodeId: toText(members[WIRE.nodeId], WIRE.nodeId),
    startNs: toTime(members[WIRE.start], WIRE.start),
    endNs: toTime(members[WIRE.end], WIRE.end),
    srcNode: isAbsent(srcNode) ? null : toNode(srcNode, WIRE.srcNode),
    dstNodes: toArray(members[WIRE.dstNodes], WIRE.dstNodes).map((node) =>
      toNode(node, WIRE.dstNodes)
    ),
    virtual: toList(members, "virtual"),
    subnet: toList(members, "subnet"),
    exit: toList(members, "exit"),
    physical: toList(members, "physical"),
    extension: toExtension(members[WIRE.extension]),
  };
}

/** Whether a value looks like a message: it has at least one list of connections. */
export function hasTraffic(value: ExactJson): boolean {
  if (value === null || typeof value !== "object") return false;
  return [WIRE.virtual, WIRE.subnet, WIRE.exit, WIRE.physical].some((name) =>
    Object.hasOwn(value, name)
  );
}

function toList(members: Members, list: ListName): Connection[] {
  const name = WIRE[list];
  return toArray(members[name], name).map((value): Connection => {
    const row = toMembers(value, name);
    return {
      proto: toProto(row[WIRE.proto]),
      src: toEnd(row[WIRE.src], WIRE.src),
      dst: toEnd(row[WIRE.dst], WIRE.dst),
      ...toCounts(row),
      folded: row[WIRE.folded] === true,
    };
  });
}

/** Reads the four counters of an object. @throws {SyntaxError} If it is something else. */
export function toCounts(members: Members): Counts {
  return {
    txPackets: toCount(members[WIRE.txPackets], WIRE.txPackets),
    txBytes: toCount(members[WIRE.txBytes], WIRE.txBytes),
    rxPackets: toCount(members[WIRE.rxPackets], WIRE.rxPackets),
    rxBytes: toCount(members[WIRE.rxBytes], WIRE.rxBytes),
  };
}

function toNode(value: ExactJson, where: string): NodeInfo {
  const members = toMembers(value, where);
  const name = toText(members[WIRE.name], WIRE.name);
  const addresses = toTexts(members[WIRE.addresses], WIRE.addresses);
  const os = toText(members[WIRE.os], WIRE.os);
  const tags = toTexts(members[WIRE.tags], WIRE.tags);
  const user = toText(members[WIRE.user], WIRE.user);
  return {
    nodeId: toText(members[WIRE.nodeId], WIRE.nodeId),
    ...(name !== "" && { name }),
    ...(addresses.length > 0 && { addresses }),
    ...(os !== "" && { os }),
    ...(tags.length > 0 && { tags }),
    ...(user !== "" && { user }),
  };
}

function toExtension(value: ExactJson | undefined): Extension {
  if (isAbsent(value)) return {};
  const members = toMembers(value, WIRE.extension);
  const integer = (name: "part" | "parts" | "lengthMs") => {
    const number = members[WIRE[name]];
    if (isAbsent(number)) return {};
    if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0) {
      throw wrong(WIRE[name], number, "an integer");
    }
    return { [name]: number };
  };
  const counts = (name: "unknown" | "other") => {
    const object = members[WIRE[name]];
    return isAbsent(object) ? {} : { [name]: toCounts(toMembers(object, WIRE[name])) };
  };
  const mode = members[WIRE.exitMode];
  return {
    ...integer("part"),
    ...integer("parts"),
    ...integer("lengthMs"),
    ...(EXIT_MODES.includes(mode as ExitMode) && { exitMode: mode as ExitMode }),
    ...counts("unknown"),
    ...counts("other"),
  };
}

// ---- Values -----------------------------------------------------------------------------------------------------

/** What is thrown at a member that is not as it should be. */
export function wrong(name: string, value: ExactJson | undefined, wanted: string): SyntaxError {
  const found = kindOrText(value);
  const cut = found.length > 80 ? `${found.slice(0, 80)}…` : found;
  return new SyntaxError(`Cannot read a flow message: "${name}" is ${cut}, not ${wanted}`);
}

function kindOrText(value: ExactJson | undefined): string {
  if (value === undefined) return "absent";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return typeof value === "bigint" ? String(value) : JSON.stringify(value);
}

/** Null is how some writers say that there is nothing. */
function isAbsent(value: ExactJson | undefined): value is null | undefined {
  return value === undefined || value === null;
}

/** Reads an object. @throws {SyntaxError} If it is something else. */
export function toMembers(value: ExactJson, name: string): Members {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw wrong(name, value, "an object");
  }
  return value as Members;
}

function toArray(value: ExactJson | undefined, name: string): readonly ExactJson[] {
  if (isAbsent(value)) return [];
  if (!Array.isArray(value)) throw wrong(name, value, "an array");
  return value;
}

/** Reads a string; an absent one is empty. @throws {SyntaxError} If it is something else. */
export function toText(value: ExactJson | undefined, name: string): string {
  if (isAbsent(value)) return "";
  if (typeof value !== "string") throw wrong(name, value, "a string");
  return value;
}

function toTexts(value: ExactJson | undefined, name: string): string[] {
  return toArray(value, name).map((item) => toText(item, name));
}

/** Reads a time as nanoseconds. @throws {SyntaxError} If it is something else. */
export function toTime(value: ExactJson | undefined, name: string): bigint {
  const ns = typeof value === "string" ? parseTime(value) : null;
  if (ns === null) throw wrong(name, value, "a time such as 2022-10-13T20:23:09.644Z");
  return ns;
}

/** What writers that count in floats make of 2^64 - 1, the seed among them (SPEC 1.2). */
const COUNT_MAX_AS_FLOAT = 18446744073709552000n;

/** Reads a counter; an absent one is 0. @throws {SyntaxError} If it is something else. */
export function toCount(value: ExactJson | undefined, name: string): Count {
  if (isAbsent(value)) return 0;
  // 1e3 is an integer, and 1.8446744073709552e19 is how some write 2^64.
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) {
    const count = BigInt(value);
    if (count >= 0n && count <= COUNT_MAX) return asCount(count);
    if (count > COUNT_MAX && count <= COUNT_MAX_AS_FLOAT) return COUNT_MAX;
  }
  throw wrong(name, value, "an integer of 0 .. 2^64 - 1");
}

/** Address and port in their one form, so that equal ends are equal texts. */
function toEnd(value: ExactJson | undefined, name: string): string {
  if (isAbsent(value) || value === "") return "";
  const end = typeof value === "string" ? parseAddressPort(value) : null;
  if (end === null) throw wrong(name, value, "an address with a port");
  const text = addressPortText(end.addressWords, 0, end.family, end.port);
  return end.zone === "" ? text : text.replace("]", `%${end.zone}]`);
}

/** Names that the original takes for protocol numbers (SPEC 1.3). */
const PROTO_BY_NAME: Readonly<Record<string, number>> = {
  "": 0,
  ah: 51,
  dccp: 33,
  egp: 8,
  esp: 50,
  gre: 47,
  icmp: 1,
  icmpv4: 1,
  icmpv6: 58,
  igmp: 2,
  igp: 9,
  "ip-in-ip": 4,
  ipv4: 4,
  "ipv6-icmp": 58,
  sctp: 132,
  tcp: 6,
  tsmp: 99,
  udp: 17,
};

function toProto(value: ExactJson | undefined): number {
  if (isAbsent(value)) return 0;
  const number = typeof value === "string"
    ? PROTO_BY_NAME[value.toLowerCase()] ?? (/^\d{1,3}$/.test(value) ? Number(value) : -1)
    : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= 255) {
    return number;
  }
  throw wrong(WIRE.proto, value, "a protocol name or a number of 0 .. 255");
}
