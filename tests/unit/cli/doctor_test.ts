// Goal: doctor fails iff no node can run, and says what to do. Method: facts of a good machine, one of them spoilt at a
// time.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  diagnose,
  type DoctorFacts,
  type Finding,
  type FindingState,
  formatFindings,
} from "../../../src/cli/doctor.ts";
import { SOCKET_BUFFER_BYTES } from "../../../src/limits.ts";
import type { MachineFacts, UdpFacts } from "../../../src/platform/mod.ts";

const UDP: UdpFacts = {
  obstacle: null,
  segmentation: true,
  coalescing: true,
  receiveBufferBytes: SOCKET_BUFFER_BYTES,
  sendBufferBytes: SOCKET_BUFFER_BYTES,
};

const MACHINE: MachineFacts = {
  runtime: "deno 2.9.6",
  kernel: "6.1.0",
  architecture: "x64",
  userId: 0,
  capabilities: "1ff",
  hasNetAdmin: true,
  crypto: { name: "libcrypto 3.0.17", obstacle: null },
  tun: {
    obstacle: null,
    features: 0x7173,
    multiQueue: true,
    virtioHeader: true,
    offloads: { tso4: true, tso6: true, uso: true },
  },
  udp4: UDP,
  udp6: UDP,
};

const GOOD: DoctorFacts = { permissionProblems: [], machine: MACHINE, lockedDirectories: [] };

/** The findings that are not ok when the machine is good but for `spoilt`. */
function bad(spoilt: Partial<MachineFacts>): Finding[] {
  return diagnose({ ...GOOD, machine: { ...MACHINE, ...spoilt } }).filter((f) => f.state !== "ok");
}

test("diagnose() finds nothing wrong with a good machine", () => {
  const findings = diagnose(GOOD);
  assert.deepEqual(findings.filter((finding) => finding.state !== "ok"), []);
  assert.ok(findings.length >= 8);
  assert.ok(findings.every((finding) => finding.advice === null));
});

test("diagnose() tells what stops a node from what only slows it", () => {
  const offloads = { ...MACHINE.tun, offloads: { tso4: true, tso6: true, uso: false } };
  const spoilt: readonly (readonly [Partial<MachineFacts>, string, FindingState, RegExp])[] = [
    [{ hasNetAdmin: false, userId: 7 }, "privileges", "fail", /user 7 lacks CAP_NET_ADMIN/],
    [{ tun: { ...offloads, obstacle: "No TUN" } }, "tun device", "fail", /^No TUN$/],
    [{ crypto: { name: "noble", obstacle: "No lib" } }, "cryptography", "warn", /slower.*No lib/],
    [{ udp4: { ...UDP, obstacle: "No v4" } }, "udp over IPv4", "fail", /^No v4$/],
    [{ udp6: { ...UDP, obstacle: "No v6" } }, "udp over IPv6", "warn", /^No v6$/],
    [
      { udp4: { ...UDP, sendBufferBytes: 212_992 } },
      "socket buffers",
      "warn",
      /208\.00 KiB to send/,
    ],
    [{ tun: offloads }, "offloads", "warn", /; not offered: UDP segments$/],
  ];
  for (const [change, subject, state, detail] of spoilt) {
    const [finding, ...others] = bad(change);
    assert.deepEqual(others, [], subject);
    assert.equal(finding!.subject, subject);
    assert.equal(finding!.state, state);
    assert.match(finding!.detail, detail);
  }
});

test("diagnose() judges what it can without FFI", () => {
  const findings = diagnose({
    permissionProblems: ['Cannot call the kernel: permission "ffi" is missing'],
    machine: null,
    lockedDirectories: ["/var/run/tunlog"],
  });
  assert.deepEqual(findings.map(({ subject, state }) => [subject, state]), [
    ["permissions", "fail"],
    ["sockets", "fail"],
  ]);
});

test("formatFindings() writes one line a finding, coloured when asked", () => {
  const findings: Finding[] = [
    { subject: "a", state: "ok", detail: "fine", advice: null },
    { subject: "long", state: "fail", detail: "broken", advice: "mend it" },
  ];
  assert.equal(
    formatFindings(findings, false, false),
    "ok    a     fine\nfail  long  broken: mend it\n\nA node cannot run here\n",
  );
  assert.ok(formatFindings(findings, true, true).startsWith("\x1b[32mok  \x1b[0m  a"));
  assert.match(formatFindings(findings, true, true), /A node can run here\n$/);
});
