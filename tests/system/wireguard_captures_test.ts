/**
 * Goal: our handshakes and messages are those of Linux's WireGuard to the byte, as recorded by Wireshark's project.
 * Method: its captures and the private keys that its own tests decrypt them with, taken from Debian's source package.
 * With the recorded ephemeral keys both messages of each handshake must come out of our code as they went over the
 * wire, macs included; every data message must open, and sealing its plaintext must give it back.
 *
 * Needs apt-get and a Debian mirror (47 MB; what is needed of it is kept in tests/out); skipped with the reason where they are not to be had.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CryptoPort } from "../../src/ports.ts";
import { equalConstantTime } from "../../src/wireguard/bytes.ts";
import { CookieChecker, CookieHolder } from "../../src/wireguard/cookie.ts";
import {
  MESSAGE,
  messageKind,
  parseInitiation,
  parseResponse,
} from "../../src/wireguard/messages.ts";
import {
  Identity,
  Noise,
  OpenedInitiation,
  PendingHandshake,
  SessionKeys,
} from "../../src/wireguard/noise.ts";
import { Session } from "../../src/wireguard/session.ts";
import { RECEIVE } from "../../src/wireguard/status.ts";
import { PresentTime } from "../../src/wireguard/time.ts";
import { DEFAULT_TIMING } from "../../src/wireguard/timing.ts";
import { CRYPTO_PORTS } from "../support/crypto_ports.ts";
import { ScriptedCrypto } from "../support/scripted_crypto.ts";
import { labBuffer } from "../support/wireguard_lab.ts";

const OUT = fileURLToPath(new URL("../out/captures/", import.meta.url));
const MIRROR = "deb-src http://deb.debian.org/debian bookworm main\n";
const CAPTURES = ["wireguard-ping-tcp.pcap", "wireguard-psk.pcap"];
const KEYS = "suite_decryption.py";

// ---- Fetching -----------------------------------------------------------------------------------------------------

/** Runs a command in OUT. @returns Why it failed, or null. */
function failure(program: string, args: readonly string[]): string | null {
  const run = spawnSync(program, args, { cwd: OUT, encoding: "utf8", timeout: 180_000 });
  if (run.error !== undefined) return `${program}: ${run.error.message}`;
  if (run.status === 0) return null;
  return `${program}: ${run.stderr.trim().split("\n").at(-1) || `ended with ${run.status}`}`;
}

/** Gets captures and keys into OUT. @returns Why they cannot be had, or null. */
function fetchCaptures(): string | null {
  if ([...CAPTURES, KEYS].every((name) => existsSync(join(OUT, name)))) return null;
  mkdirSync(join(OUT, "lists/partial"), { recursive: true });
  mkdirSync(join(OUT, "cache/archives/partial"), { recursive: true });
  writeFileSync(join(OUT, "sources.list"), MIRROR);
  // apt's own lists stay as they are: everything that it writes goes into OUT.
  const options = [
    ["Dir::Etc::sourcelist", join(OUT, "sources.list")],
    ["Dir::Etc::sourceparts", "-"],
    ["Dir::State::lists", join(OUT, "lists")],
    ["Dir::Cache", join(OUT, "cache")],
    ["Acquire::http::Timeout", "20"],
  ].flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const obstacle = failure("apt-get", [...options, "update"]) ??
    failure("apt-get", [...options, "source", "--download-only", "wireshark"]);
  if (obstacle !== null) return obstacle;
  const archive = readdirSync(OUT).find((name) => /^wireshark_.*\.orig\.tar\.\w+$/.test(name));
  if (archive === undefined) return "the source package holds no orig.tar";
  const wanted = [...CAPTURES.map((name) => `*/captures/${name}`), `*/${KEYS}`];
  const unpacked = failure("tar", [
    "xf",
    archive,
    "--wildcards",
    "--transform",
    "s,.*/,,",
    ...wanted,
  ]);
  for (const name of readdirSync(OUT)) {
    if (![...CAPTURES, KEYS].includes(name)) rmSync(join(OUT, name), { recursive: true });
  }
  return unpacked;
}

// ---- Reading ------------------------------------------------------------------------------------------------------

/** UDP payloads of an Ethernet capture in libpcap's format, in order. */
function datagrams(name: string): Uint8Array[] {
  const file = readFileSync(join(OUT, name));
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  assert.equal(view.getUint32(0, true), 0xa1b2c3d4, "little-endian libpcap");
  assert.equal(view.getUint32(20, true), 1, "Ethernet");
  const found: Uint8Array[] = [];
  for (let at = 24; at < file.length; at += 16 + view.getUint32(at + 8, true)) {
    const ip = at + 16 + 14;
    assert.equal(file[ip] >> 4, 4);
    const udp = ip + (file[ip] & 15) * 4;
    const end = udp + view.getUint16(udp + 4);
    found.push(Uint8Array.from(file.subarray(udp + 8, end)));
  }
  return found;
}

/** Keys of Wireshark's own tests by name, e.g. `Spriv_i`. */
function readKeys(): Map<string, Uint8Array> {
  const lines = readFileSync(join(OUT, KEYS), "utf8").matchAll(/key_(\w+) = '([\w+/]{43}=)'/g);
  return new Map(
    Array.from(
      lines,
      ([, name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))],
    ),
  );
}

// ---- Checking -----------------------------------------------------------------------------------------------------

/** One side of a recorded handshake. */
interface Side {
  readonly identity: Identity;
  readonly ephemeral: Uint8Array;
}

class Recording {
  readonly #port: CryptoPort;
  readonly #keys: Map<string, Uint8Array>;
  readonly #time = new PresentTime();
  /** Sessions by the index that messages to them carry. */
  readonly #sessions = new Map<number, { opens: Session; seals: Session }>();
  handshakes = 0;
  dataMessages = 0;

  constructor(port: CryptoPort, keys: Map<string, Uint8Array>) {
    this.#port = port;
    this.#keys = keys;
  }

  play(messages: readonly Uint8Array[]): void {
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index];
      const kind = messageKind(new DataView(message.buffer), 0, message.length);
      if (kind === MESSAGE.INITIATION) this.#handshake(message, messages[index + 1]);
      else if (kind === MESSAGE.DATA) this.#data(message);
      else assert.equal(kind, MESSAGE.RESPONSE);
    }
  }

  #handshake(initiation: Uint8Array, response: Uint8Array): void {
    const sent = parseInitiation(initiation);
    const answered = parseResponse(response);
    const responder = this.#side("Spriv_r", "Spriv_i", answered.ephemeral, initiation);
    const initiator = this.#side("Spriv_r", "Spriv_i", sent.ephemeral, response);
    const random = [initiator.ephemeral, responder.ephemeral];
    const crypto = new ScriptedCrypto(this.#port, (output) => output.set(random.shift()!));
    const noise = new Noise(crypto);
    const staticStatic = new Uint8Array(32);
    crypto.x25519(staticStatic, initiator.identity.privateKey, responder.identity.publicKey);

    const opened = new OpenedInitiation();
    assert.ok(noise.openInitiation(opened, initiation, responder.identity));
    assert.ok(equalConstantTime(opened.staticPublic, initiator.identity.publicKey));
    assert.ok(noise.openTimestamp(opened, initiation, staticStatic));

    const pending = new PendingHandshake(0, sent.senderIndex);
    const madeInitiation = new Uint8Array(initiation.length);
    assert.ok(
      noise.createInitiation(
        madeInitiation,
        pending,
        initiator.identity,
        responder.identity.publicKey,
        staticStatic,
        opened.timestamp,
      ),
    );
    this.#addMacs(madeInitiation, responder.identity);
    assert.deepEqual(madeInitiation, initiation);

    const keys = { initiator: new SessionKeys(), responder: new SessionKeys() };
    const presharedKey = this.#presharedKey(pending, response, initiator.identity, noise);
    const madeResponse = new Uint8Array(response.length);
    assert.ok(
      noise.createResponse(
        madeResponse,
        opened,
        answered.senderIndex,
        presharedKey,
        keys.responder,
      ),
    );
    this.#addMacs(madeResponse, initiator.identity);
    assert.deepEqual(madeResponse, response);
    assert.ok(
      noise.openResponse(pending, response, initiator.identity, presharedKey, keys.initiator),
    );
    this.#addSessions(sent.senderIndex, answered.senderIndex, keys);
    this.handshakes++;
  }

  /** The side whose ephemeral public key is `ephemeral` and that the message of the other side was not for. */
  #side(first: string, second: string, ephemeral: Uint8Array, theirs: Uint8Array): Side {
    // Messages to this side carry a mac1 under its public key.
    const identities = [first, second].map((name) =>
      new Identity(this.#port, this.#keys.get(name)!)
    );
    const identity = identities.find(({ publicKey }) =>
      new CookieChecker(this.#port, publicKey, DEFAULT_TIMING).hasMac1(theirs)
    );
    const secrets = [...this.#keys].filter(([name]) =>
      name.startsWith("Epriv") && !/alt/.test(name)
    );
    const match = secrets.find(([, secret]) => {
      const publicKey = new Uint8Array(32);
      this.#port.x25519Public(publicKey, secret);
      return equalConstantTime(publicKey, ephemeral);
    });
    assert.ok(identity !== undefined && match !== undefined, "no key of Wireshark's fits");
    return { identity, ephemeral: match[1] };
  }

  #presharedKey(
    pending: PendingHandshake,
    response: Uint8Array,
    identity: Identity,
    noise: Noise,
  ): Uint8Array {
    const candidates = [new Uint8Array(32), this.#keys.get("psk2")!, this.#keys.get("psk3")!];
    const fits = candidates.filter((key) =>
      noise.openResponse(pending, response, identity, key, new SessionKeys())
    );
    assert.equal(fits.length, 1);
    return fits[0];
  }

  #addMacs(message: Uint8Array, receiver: Identity): void {
    new CookieHolder(this.#port, receiver.publicKey, DEFAULT_TIMING).addMacs(message, 0);
  }

  /** Both ends of a session; for each end one more that seals what it opens. */
  #addSessions(
    initiatorIndex: number,
    responderIndex: number,
    keys: { initiator: SessionKeys; responder: SessionKeys },
  ): void {
    const make = (
      own: SessionKeys,
      localIndex: number,
      remoteIndex: number,
      isInitiator: boolean,
    ) =>
      new Session(this.#port, DEFAULT_TIMING, this.#time, {
        peerSlot: 0,
        localIndex,
        remoteIndex,
        isInitiator,
        keys: own,
      });
    const initiator = () => make(keys.initiator, initiatorIndex, responderIndex, true);
    const responder = () => make(keys.responder, responderIndex, initiatorIndex, false);
    this.#sessions.set(initiatorIndex, { opens: initiator(), seals: responder() });
    this.#sessions.set(responderIndex, { opens: responder(), seals: initiator() });
  }

  /** Opens a data message and seals it again; messages of one direction come in the order of their counters. */
  #data(message: Uint8Array): void {
    const index = new DataView(message.buffer).getUint32(4, true);
    const session = this.#sessions.get(index);
    assert.ok(session !== undefined, "a data message of no recorded handshake");
    const buffer = labBuffer(message.length);
    buffer.bytes.set(message);
    assert.equal(session.opens.open(buffer, 0, message.length), RECEIVE.DATA);
    const plainLength = message.length - 32;
    if (plainLength > 0) assert.equal(buffer.bytes[16] >> 4, 4, "not an IPv4 packet");
    assert.equal(session.seals.seal(buffer, 16, plainLength), message.length);
    assert.deepEqual(buffer.bytes, message);
    this.dataMessages++;
  }
}

const obstacle = fetchCaptures();
if (obstacle !== null) console.log(`Wireshark's captures cannot be had: ${obstacle}`);

for (const port of CRYPTO_PORTS) {
  for (const [name, handshakes] of [[CAPTURES[0], 2], [CAPTURES[1], 2]] as const) {
    test(`${name} is made and read to the byte (${port.name})`, { skip: obstacle ?? false }, () => {
      const recording = new Recording(port, readKeys());
      recording.play(datagrams(name));
      assert.equal(recording.handshakes, handshakes);
      if (name === CAPTURES[0]) assert.ok(recording.dataMessages > 10);
    });
  }
}
