/**
 * API keys: made, listed, removed, checked. They are 32 random bytes, so that one SHA-256 protects them at rest as well as
 * a slow hash would a password.
 *
 * In: a file, which the command line writes while the collector runs. Out: whether a key is one. Guarantees: a key is
 * shown once, when it is made; comparing takes as long whether it fits or not.
 */
import { Buffer } from "node:buffer";
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { statSync } from "node:fs";
import { API_KEYS_MAX } from "../../limits.ts";
import { readJsonFile, writeJsonFile } from "./json_file.ts";

/** One key, without itself. */
export interface ApiKey {
  readonly name: string;
  readonly createdMs: number;
  /** SHA-256 of the key's text, hexadecimal. */
  readonly sha256: string;
}

const NAME = /^[\w.@-]{1,64}$/;
/** By which people and scanners know such a key. */
const PREFIX = "tunlog-";

/** See file header. */
export class ApiKeys {
  readonly #path: string | null;
  #keys: readonly ApiKey[] = [];
  #version = "";

  /** @param path null = there are none. */
  constructor(path: string | null) {
    this.#path = path;
  }

  /** @throws {ConfigError} If the file is not one of ours. */
  list(): readonly ApiKey[] {
    this.#refresh();
    return this.#keys;
  }

  /** Makes a key. @throws {Error} If the name cannot be, or is taken. @returns The key, which nobody can find out again. */
  add(name: string, nowMs: number): string {
    if (!NAME.test(name)) {
      throw new Error(`Cannot make key "${name}": a name has 1..64 characters a-z A-Z 0-9 _ . @ -`);
    }
    const keys = this.list();
    if (keys.some((key) => key.name === name)) {
      throw new Error(`Cannot make key "${name}": there is one of that name`);
    }
    if (keys.length >= API_KEYS_MAX) throw new Error(`Cannot make key: there are ${API_KEYS_MAX}`);
    const text = `${PREFIX}${randomBytes(32).toString("base64url")}`;
    this.#write([...keys, { name, createdMs: nowMs, sha256: hashOf(text).toString("hex") }]);
    return text;
  }

  /** @returns false if there is none of that name. */
  remove(name: string): boolean {
    const keys = this.list();
    const left = keys.filter((key) => key.name !== name);
    if (left.length === keys.length) return false;
    this.#write(left);
    return true;
  }

  /** Whether it is one of the keys. */
  check(text: string): boolean {
    const hash = hashOf(text);
    let isKnown = false;
    for (const { sha256 } of this.list()) {
      if (timingSafeEqual(hash, Buffer.from(sha256, "hex"))) isKnown = true;
    }
    return isKnown;
  }

  #write(keys: readonly ApiKey[]): void {
    if (this.#path === null) throw new Error("Cannot keep a key: there is no directory for it");
    writeJsonFile(this.#path, { keys });
    this.#version = "";
  }

  #refresh(): void {
    if (this.#path === null) return;
    const version = versionOf(this.#path);
    if (version === this.#version) return;
    this.#keys = version === "none" ? [] : readJsonFile(this.#path, isKept)?.keys ?? [];
    this.#version = version;
  }
}

function versionOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "none" : `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
}

function hashOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function isKept(value: unknown): value is { readonly keys: readonly ApiKey[] } {
  const keys = (value as { keys?: unknown } | null)?.keys;
  return Array.isArray(keys) &&
    keys.every((key) =>
      typeof key?.name === "string" && typeof key.createdMs === "number" &&
      typeof key.sha256 === "string" && /^[0-9a-f]{64}$/.test(key.sha256)
    );
}
