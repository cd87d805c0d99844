/**
 * What `tunlog status`, `down` and `reload` say to a running node, and what it says back: one line of JSON each way.
 *
 * In: lines from the other side. Out: typed requests and replies. Both carry the version of this protocol, because
 * the program may be newer than the node that still runs.
 */
import { listOf, record, text } from "./shape.ts";
import type { NodeStatus } from "./status.ts";
import { parseNodeStatus } from "./status_shape.ts";

/** Where the sockets are, one per node: `<interface>.sock`. */
export const CONTROL_DIRECTORY = "/var/run/tunlog";

/** Version of what is said; a change that an old end would misread raises it. */
export const CONTROL_VERSION = 1;

/** What a node can be asked. */
export const CONTROL_OPS = ["status", "down", "reload"] as const;
export type ControlOp = (typeof CONTROL_OPS)[number];

/** What a node answers. */
export type ControlReply =
  | { readonly op: "status"; readonly status: NodeStatus }
  /** The interface is gone. */
  | { readonly op: "down" }
  /** The file was read again; sentences for what was taken but deserves a look. */
  | { readonly op: "reload"; readonly warnings: readonly string[] }
  /** It could not; a sentence for people. */
  | { readonly op: "failed"; readonly error: string };

/** Writes a request, its newline included. */
export function formatControlRequest(op: ControlOp): string {
  return `${JSON.stringify({ version: CONTROL_VERSION, op })}\n`;
}

/** Reads a request. @throws {TypeError} If it is none, or of another version. */
export function parseControlRequest(line: string): ControlOp {
  const request = parseVersioned(line, "request");
  const op = CONTROL_OPS.find((known) => known === request.op);
  if (op === undefined) {
    throw new TypeError(`Cannot read request.op: must be one of ${CONTROL_OPS.join(", ")}`);
  }
  return op;
}

/** Writes a reply, its newline included. */
export function formatControlReply(reply: ControlReply): string {
  return `${JSON.stringify({ version: CONTROL_VERSION, ...reply })}\n`;
}

/** Reads a reply. @throws {TypeError} If it is none, or of another version. */
export function parseControlReply(line: string): ControlReply {
  const reply = parseVersioned(line, "reply");
  switch (reply.op) {
    case "status":
      return { op: "status", status: parseNodeStatus(reply.status, "reply.status") };
    case "down":
      return { op: "down" };
    case "reload":
      return { op: "reload", warnings: listOf(text)(reply.warnings, "reply.warnings") };
    case "failed":
      return { op: "failed", error: text(reply.error, "reply.error") };
    default:
      throw new TypeError("Cannot read reply.op: must be one that is known");
  }
}

function parseVersioned(line: string, what: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new TypeError(`Cannot read ${what}: must be JSON`, { cause });
  }
  const object = record(value, what);
  if (object.version !== CONTROL_VERSION) {
    throw new TypeError(
      `Cannot read ${what}: version must be ${CONTROL_VERSION}, is ${String(object.version)}; ` +
        "the node and this program are of different versions",
    );
  }
  return object;
}
