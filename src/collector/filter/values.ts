/**
 * Values of terms: one token → a class, a protocol, a name, an address, a prefix, ports.
 *
 * In: a word or string token. Out: the value, or a failure in the house's words. Not here: lists, operators (parse.ts).
 */
import { CLASS_NAMES, type ClassName } from "../../counters.ts";
import {
  addressBits,
  maskPrefix,
  parseAddress,
  parsePrefix,
  type Prefix,
} from "../../packet/mod.ts";
import { shown } from "./problem.ts";
import type { PortRange } from "./syntax.ts";
import type { Token } from "./tokens.ts";
import { likelyWord, looksLikeAddress, PROTO_NUMBERS } from "./words.ts";

/** Largest port number (RFC 9293 §3.1, RFC 768). */
export const PORT_MAX = 65_535;
/** Largest protocol number (RFC 791 §3.1). */
const PROTO_MAX = 255;

/** What a reader may use. */
export interface ValueContext {
  /** Known names of nodes; undefined = any will do. */
  readonly nodes: ReadonlySet<string> | undefined;
  readonly fail: (message: string) => never;
}

/** Reads one kind of value. */
export interface ValueReader<T> {
  /** For "… is missing". */
  readonly noun: string;
  /** What completion may offer: kinds of values in capitals. */
  readonly expected: readonly string[];
  /** Words and symbols that may stand in a value's place, behind the field's word only. */
  readonly instead: readonly string[];
  /** Whether values may stand in quotes. */
  readonly takesStrings: boolean;
  read(token: Token, context: ValueContext): T;
}

/** A value of `host`: an address as a prefix of all its bits, or a name. */
export type HostValue = Prefix | string;

/** A class by name. */
export const readClass: ValueReader<ClassName> = {
  noun: "A class",
  expected: ["CLASS"],
  instead: [],
  takesStrings: false,
  read(token, { fail }) {
    const known = CLASS_NAMES.find((name) => name === token.value.toLowerCase());
    if (known !== undefined) return known;
    return fail(
      unknown("Class", token, likelyWord(token.value, CLASS_NAMES), CLASS_NAMES.join(", ")),
    );
  },
};

/** A protocol by name or number. */
export const readProto: ValueReader<number> = {
  noun: "A protocol",
  expected: ["PROTOCOL"],
  instead: [],
  takesStrings: false,
  read(token, { fail }) {
    const { value } = token;
    const named = PROTO_NUMBERS.get(value.toLowerCase());
    if (named !== undefined) return named;
    if (/^\d+$/.test(value)) {
      const proto = Number(value);
      return proto <= PROTO_MAX ? proto : fail(`Protocol ${shown(value)} is above ${PROTO_MAX}`);
    }
    const names = [...PROTO_NUMBERS.keys()];
    return fail(
      unknown("Protocol", token, likelyWord(value, names), `${names.join(", ")}, 0 to 255`),
    );
  },
};

/** A node's name or id, or a pattern with `*`. */
export const readName: ValueReader<string> = {
  noun: "A node's name",
  expected: ["NAME"],
  instead: [],
  takesStrings: true,
  read(token, { nodes, fail }) {
    const { value } = token;
    if (value === "") fail("Name is empty");
    if (nodes === undefined || value.includes("*") || nodes.has(value)) return value;
    return fail(unknown("Node", token, likelyWord(value, nodes), "no node has this name or id"));
  },
};

/** An address or a name; what stands in quotes is a name. */
export const readHost: ValueReader<HostValue> = {
  noun: "An address or a node's name",
  expected: ["ADDRESS", "NAME"],
  instead: ["none"],
  takesStrings: true,
  read(token, context) {
    const { value } = token;
    if (token.kind === "string") return readName.read(token, context);
    const address = addressOf(value);
    if (address !== null) return address;
    if (!looksLikeAddress(value)) return readName.read(token, context);
    return parsePrefix(value) === null
      ? context.fail(`${shown(value)} is not an address; a name like this stands in quotes`)
      : context.fail(`${shown(value)} is a prefix: "net" takes it`);
  },
};

/** A prefix with its length; bits behind it are cleared. */
export const readPrefix: ValueReader<Prefix> = {
  noun: "A prefix",
  expected: ["PREFIX"],
  instead: [],
  takesStrings: false,
  read(token, { fail }) {
    const { value } = token;
    const prefix = parsePrefix(value);
    if (prefix === null) return fail(`${shown(value)} is not a prefix: 10.0.0.0/8, fd00::/8`);
    if (!value.includes("/")) {
      return fail(`Prefix ${shown(value)} has no length: "host" takes an address`);
    }
    return maskPrefix(prefix);
  },
};

/** What may follow `src` and `dst` at once: an address or a prefix. */
export const readAddressOrPrefix: ValueReader<Prefix> = {
  noun: "An address or a prefix",
  expected: ["ADDRESS", "PREFIX"],
  instead: ["host", "net", "port", "none"],
  takesStrings: false,
  read(token, { fail }) {
    const { value } = token;
    const prefix = parsePrefix(value);
    if (prefix !== null) return maskPrefix(prefix);
    return looksLikeAddress(value)
      ? fail(`${shown(value)} is neither an address nor a prefix`)
      : fail(`${shown(value)} is not an address, nor "host", "net", "port" or "none"`);
  },
};

/** A port, or a range of ports. */
export const readPort: ValueReader<PortRange> = {
  noun: "A port",
  expected: ["PORT"],
  instead: ["<", "<=", ">", ">="],
  takesStrings: false,
  read(token, { fail }) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(token.value);
    if (match === null) {
      return fail(`${shown(token.value)} is not a port: 443, or a range: 8000-8100`);
    }
    const first = Number(match[1]);
    const last = match[2] === undefined ? first : Number(match[2]);
    if (Math.max(first, last) > PORT_MAX) {
      return fail(`Port in ${shown(token.value)} is above ${PORT_MAX}`);
    }
    if (first > last) return fail(`Range ${shown(token.value)} ends before it begins`);
    return { first, last };
  },
};

/** A port to compare with. */
export const readSinglePort: ValueReader<PortRange> = {
  noun: "A port",
  expected: ["PORT"],
  instead: [],
  takesStrings: false,
  read(token, context) {
    const range = readPort.read(token, context);
    return token.value.includes("-")
      ? context.fail(`Range ${shown(token.value)} cannot be compared with`)
      : range;
  },
};

function addressOf(text: string): Prefix | null {
  const address = parseAddress(text);
  return address === null ? null : { ...address, prefixBits: addressBits(address.family) };
}

function unknown(noun: string, token: Token, likely: string | undefined, known: string): string {
  const word = shown(token.value);
  return likely === undefined
    ? `${noun} ${word} is not known: ${known}`
    : `${noun} ${word} is not known: "${likely}" is probably meant`;
}
