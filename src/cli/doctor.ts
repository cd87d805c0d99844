/**
 * `tunlog doctor`: can a node run here, and if not, what is to be done.
 *
 * In: facts that the platform found out by trying. Out: one line per finding, each ok, warn or fail, with advice.
 * Exit code 0 iff nothing failed. diagnose() is pure; run() asks the machine.
 */
import { accessSync, constants, existsSync } from "node:fs";
import { dirname } from "node:path";
import { SOCKET_BUFFER_BYTES } from "../limits.ts";
import { bytesText, CONTROL_DIRECTORY, UAPI_DIRECTORY } from "../node/mod.ts";
import {
  type MachineFacts,
  missingPermissions,
  probeMachine,
  type TunFacts,
  type UdpFacts,
} from "../platform/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT, wantsColor } from "./io.ts";
import { NODE_NEEDS } from "./needs.ts";

/** `fail`: no node can run. `warn`: it can, but slower or with less. */
export type FindingState = "ok" | "warn" | "fail";

/** One thing that was looked at. */
export interface Finding {
  readonly subject: string;
  readonly state: FindingState;
  readonly detail: string;
  /** What to do about it; null = nothing. */
  readonly advice: string | null;
}

/** What the findings are made from. */
export interface DoctorFacts {
  /** One sentence per permission of Deno that is missing. */
  readonly permissionProblems: readonly string[];
  /** null = the machine cannot be asked without the permission "ffi". */
  readonly machine: MachineFacts | null;
  /** Directories that cannot be written to, of those that sockets go to. */
  readonly lockedDirectories: readonly string[];
}

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.doctor, args, io, ({ values }) => {
    const facts = collectFacts();
    const findings = diagnose(facts);
    const canRun = findings.every((finding) => finding.state !== "fail");
    if (values.json) io.stdout(`${JSON.stringify({ canRun, findings, facts }, null, 2)}\n`);
    else io.stdout(formatFindings(findings, canRun, wantsColor(io)));
    return canRun ? EXIT.DONE : EXIT.FAILED;
  });
}

function collectFacts(): DoctorFacts {
  const missing = missingPermissions(NODE_NEEDS);
  const lacks = (name: string): boolean => missing.some((error) => error.permission === name);
  const directories = lacks("read") ? [] : [UAPI_DIRECTORY, CONTROL_DIRECTORY];
  return {
    permissionProblems: missing.map((error) => error.message),
    machine: lacks("ffi") ? null : probeMachine(),
    lockedDirectories: directories.filter((directory) => !isWritable(directory)),
  };
}

/** Whether sockets can be made in `directory`, which the node makes itself where it is missing. */
function isWritable(directory: string): boolean {
  const nearest = existsSync(directory) ? directory : dirname(directory);
  try {
    accessSync(nearest, constants.W_OK);
    return true;
  } catch {
    // Whatever the reason, the node would meet it too.
    return false;
  }
}

/** Judges the facts, most important first. */
export function diagnose(facts: DoctorFacts): Finding[] {
  const { machine } = facts;
  return [
    ...permissionFindings(facts.permissionProblems),
    ...(machine === null ? [] : machineFindings(machine)),
    ...facts.lockedDirectories.map((directory): Finding => ({
      subject: "sockets",
      state: "fail",
      detail: `"${directory}" cannot be written to`,
      advice: "run as root",
    })),
  ];
}

function permissionFindings(problems: readonly string[]): Finding[] {
  if (problems.length === 0) return [ok("permissions", "all that a node needs")];
  // The sentences say what to do themselves.
  return problems.map((detail) => ({
    subject: "permissions",
    state: "fail",
    detail,
    advice: null,
  }));
}

function machineFindings(machine: MachineFacts): Finding[] {
  const kernel = machine.kernel === null ? "an unknown kernel" : `Linux ${machine.kernel}`;
  return [
    ok("runtime", `${machine.runtime} on ${kernel}, ${machine.architecture}`),
    privileges(machine),
    device(machine.tun),
    cryptography(machine.crypto),
    sockets("udp over IPv4", machine.udp4, "fail"),
    sockets("udp over IPv6", machine.udp6, "warn"),
    buffers(machine.udp4),
    offloads(machine),
  ];
}

function ok(subject: string, detail: string): Finding {
  return { subject, state: "ok", detail, advice: null };
}

function privileges({ hasNetAdmin, userId }: MachineFacts): Finding {
  const subject = "privileges";
  if (hasNetAdmin) return ok(subject, `CAP_NET_ADMIN, as user ${userId}`);
  return {
    subject,
    state: "fail",
    detail: `user ${userId} lacks CAP_NET_ADMIN`,
    advice: "run as root or grant CAP_NET_ADMIN",
  };
}

function device({ obstacle, multiQueue }: TunFacts): Finding {
  const subject = "tun device";
  if (obstacle === null) {
    return ok(subject, `can be made${multiQueue ? ", with several queues" : ""}`);
  }
  // The sentence says what to do itself.
  return { subject, state: "fail", detail: obstacle, advice: null };
}

function cryptography({ name, obstacle }: MachineFacts["crypto"]): Finding {
  const subject = "cryptography";
  if (obstacle === null) return ok(subject, name);
  return {
    subject,
    state: "warn",
    detail: `${name}, which is about 20 times slower than OpenSSL: ${obstacle}`,
    advice: "install OpenSSL 3 (libssl3 in Debian)",
  };
}

function sockets(subject: string, { obstacle }: UdpFacts, otherwise: FindingState): Finding {
  return obstacle === null
    ? ok(subject, "can be opened")
    : { subject, state: otherwise, detail: obstacle, advice: null };
}

function buffers({ obstacle, receiveBufferBytes, sendBufferBytes }: UdpFacts): Finding {
  const subject = "socket buffers";
  const least = Math.min(receiveBufferBytes, sendBufferBytes);
  const detail = `${bytesText(receiveBufferBytes)} to receive, ${
    bytesText(sendBufferBytes)
  } to send`;
  if (obstacle !== null || least >= SOCKET_BUFFER_BYTES) return ok(subject, detail);
  return {
    subject,
    state: "warn",
    detail: `${detail}, less than ${bytesText(SOCKET_BUFFER_BYTES)}: bursts will be lost`,
    advice:
      `grant CAP_NET_ADMIN, or raise net.core.rmem_max and wmem_max to ${SOCKET_BUFFER_BYTES}`,
  };
}

/** What the kernel offers for speed; a kernel without them carries the same packets, one by one. */
function offloads({ tun, udp4 }: MachineFacts): Finding {
  const offered = Object.entries({
    // Without a device, nothing is known of what it would take.
    ...(tun.obstacle === null && {
      "TCP segments (IPv4)": tun.offloads.tso4,
      "TCP segments (IPv6)": tun.offloads.tso6,
      "UDP segments": tun.offloads.uso,
    }),
    "UDP_SEGMENT": udp4.segmentation,
    "UDP_GRO": udp4.coalescing,
  });
  const list = (wanted: boolean): string =>
    offered.filter(([, has]) => has === wanted).map(([name]) => name).join(", ") || "none";
  const isWhole = offered.every(([, has]) => has);
  return {
    subject: "offloads",
    state: isWhole ? "ok" : "warn",
    detail: isWhole ? list(true) : `${list(true)}; not offered: ${list(false)}`,
    advice: isWhole ? null : "Linux 6.2 or newer offers all",
  };
}

/** Terminal colours of the states. Source: ECMA-48 §8.3.117 (SGR). */
const COLOR: Readonly<Record<FindingState, string>> = { ok: "32", warn: "33", fail: "31;1" };

/** Writes the findings for people; ends with a newline. */
export function formatFindings(
  findings: readonly Finding[],
  canRun: boolean,
  color: boolean,
): string {
  const width = Math.max(...findings.map((finding) => finding.subject.length));
  const lines = findings.map(({ subject, state, detail, advice }) => {
    const label = state.padEnd(4);
    const painted = color ? `\x1b[${COLOR[state]}m${label}\x1b[0m` : label;
    const todo = advice === null ? "" : `: ${advice}`;
    return `${painted}  ${subject.padEnd(width)}  ${detail}${todo}`;
  });
  return `${lines.join("\n")}\n\n${canRun ? "A node can run here" : "A node cannot run here"}\n`;
}
