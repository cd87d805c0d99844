/**
 * Which implementation the system tests put on trial.
 *
 * In: the variable TUNLOG_SYSTEM_SUBJECT: `deno` (default), `bun`, or `wireguard-go`. The last one puts the tests
 * themselves on trial: what fails there is wrong in the harness, not in our node.
 */
import process from "node:process";
import type { Implementation } from "./tunnels.ts";

const SUBJECTS: readonly Implementation[] = ["deno", "bun", "wireguard-go"];

function readSubject(): Implementation {
  const text = process.env.TUNLOG_SYSTEM_SUBJECT ?? "deno";
  const subject = SUBJECTS.find((each) => each === text);
  if (subject === undefined) {
    throw new TypeError(`TUNLOG_SYSTEM_SUBJECT is "${text}": it must be ${SUBJECTS.join(", ")}`);
  }
  return subject;
}

/** Implementation on trial. */
export const SUBJECT: Implementation = readSubject();

/** The end that we believe. */
export const REFERENCE: Implementation = "wireguard-go";

/** Returns why a test of what only our node has cannot run, or false. */
export function notOurs(): string | false {
  return SUBJECT === "wireguard-go" ? "the subject is wireguard-go: it has no such thing" : false;
}
