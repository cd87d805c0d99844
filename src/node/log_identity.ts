/**
 * Who a node is to its log collection: private id, public id, and the key of its pseudonyms.
 *
 * In: configuration, a state directory. Out: ids. Made once, kept in files of mode 0600 that only their owner's directory
 * holds, so that a restart writes to the same stream. The file of ids is the original's (SPEC 2.14): JSON with Collection,
 * PrivateID and PublicID. A file that cannot be read is never overwritten.
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { ConfigError } from "../errors.ts";
import {
  idText,
  isZeroId,
  makePrivateId,
  parsePrivateId,
  type PrivateId,
  publicIdOf,
} from "../logtail/mod.ts";
import type { ExitPolicy } from "../netlog/mod.ts";
import type { CollectorConfig, FlowLogConfig } from "./config_flow_log.ts";
import { errnoOf, systemError } from "./system_error.ts";

/** See file header. */
export interface LogIdentity {
  /** 64 hexadecimal digits. Credential: never to be shown. */
  readonly privateId: string;
  /** 64 hexadecimal digits. */
  readonly publicId: string;
}

const IDS_FILE = "log.conf";
const EXIT_KEY_FILE = "exit.key";
/** Group and others. */
const FOREIGN_BITS = 0o077;

/**
 * Finds or makes the node's identity.
 * @param directory null = ids live as long as the process, unless configured.
 * @throws {ConfigError} If the file of ids is not one; {SystemCallError} if it cannot be read.
 */
export function openIdentity(
  { privateId, collection }: CollectorConfig,
  directory: string | null,
  warn: (message: string) => void,
): LogIdentity {
  if (privateId !== null) return identityOf(parsePrivateId(privateId));
  const made = () => makePrivateId(randomBytes(32));
  if (directory === null) return identityOf(made());
  const path = `${directory}/${IDS_FILE}`;
  const known = readSecret(path, warn);
  if (known !== null) return parseIds(known, path);
  const identity = identityOf(made());
  const ids = {
    Collection: collection,
    PrivateID: identity.privateId,
    PublicID: identity.publicId,
  };
  keepSecret(path, `${JSON.stringify(ids, null, "\t")}\n`, warn);
  return identity;
}

/**
 * How exit rows are written. Mode `keyed` has a key of 32 bytes, made once and kept, that never leaves the node: the same
 * address has the same pseudonym after a restart.
 * @throws {ConfigError} If the file of the key is not one; {SystemCallError} if it cannot be read.
 */
export function openExitPolicy(
  { exitMode, stateDirectory }: FlowLogConfig,
  warn: (message: string) => void,
): ExitPolicy {
  if (exitMode !== "keyed") return { mode: exitMode };
  const key = openExitKey(stateDirectory, warn);
  return { mode: "keyed", prf: (input) => createHmac("sha256", key).update(input).digest() };
}

function openExitKey(directory: string | null, warn: (message: string) => void): Uint8Array {
  if (directory === null) return randomBytes(32);
  const path = `${directory}/${EXIT_KEY_FILE}`;
  const known = readSecret(path, warn);
  if (known !== null) {
    const text = known.trim();
    if (/^[0-9a-f]{64}$/.test(text)) return Buffer.from(text, "hex");
    throw new ConfigError(
      "The file must hold 64 hexadecimal digits; remove it to have a new key made",
      path,
    );
  }
  const key = randomBytes(32);
  keepSecret(path, `${key.toString("hex")}\n`, warn);
  return key;
}

function identityOf(privateId: PrivateId): LogIdentity {
  const sha256 = (input: Uint8Array) => createHash("sha256").update(input).digest();
  return { privateId: idText(privateId), publicId: idText(publicIdOf(privateId, sha256)) };
}

function parseIds(text: string, path: string): LogIdentity {
  try {
    const { PrivateID, PublicID } = JSON.parse(text);
    const privateId = parsePrivateId(String(PrivateID));
    const identity = identityOf(privateId);
    if (!isZeroId(privateId) && identity.publicId === String(PublicID).toLowerCase()) {
      return identity;
    }
  } catch {
    // Said below: what the parser would say may hold the credential.
  }
  throw new ConfigError(
    "The file must hold PrivateID and its PublicID; remove it to have new ids made",
    path,
  );
}

/** @returns null when there is no such file, as far as this process can see: keepSecret() will say if it cannot. */
function readSecret(path: string, warn: (message: string) => void): string | null {
  try {
    const text = readFileSync(path, "utf8");
    if ((statSync(path).mode & FOREIGN_BITS) !== 0) {
      warn(`"${path}" can be read by others, but is this node's secret: run chmod 600 on it`);
    }
    return text;
  } catch (error) {
    if (errnoOf(error) !== undefined && !existsSync(path)) return null;
    throw systemError(`read "${path}"`, error);
  }
}

/** Keeps it for the next start. A node without a writable disk runs all the same, under a new identity each time. */
function keepSecret(path: string, text: string, warn: (message: string) => void): void {
  const next = `${path}.new`;
  try {
    mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
    // What a start that was killed has left, whatever its mode.
    rmSync(next, { force: true });
    const fd = openSync(next, "wx", 0o600);
    try {
      writeFileSync(fd, text);
      // An empty file after a power failure would keep the node from starting.
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(next, path);
  } catch (error) {
    removeQuietly(next);
    const { message } = systemError(`write "${path}"`, error) as Error;
    warn(`${message}: the next start will make a new one`);
  }
}

/** Not even a secret that cannot be kept is left in a file that nobody reads. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // The same that kept it from being written, and that is told.
  }
}
