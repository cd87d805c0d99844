/**
 * Identities of log streams (SPEC 2.1): a private id is the right to write, its public id names the stream to readers.
 *
 * In: random bytes and SHA-256, both handed in. Out: ids of 32 bytes, their text of 64 hexadecimal digits, and
 * arithmetic on them as unsigned 256-bit big-endian integers.
 */

/** Bytes of either id. */
export const ID_BYTES = 32;

declare const PRIVATE: unique symbol;
declare const PUBLIC: unique symbol;

/** Credential of a writer. Never to be logged or echoed; the type keeps it from standing where a public id should. */
export type PrivateId = Uint8Array & { readonly [PRIVATE]: true };
/** Name of a stream. */
export type PublicId = Uint8Array & { readonly [PUBLIC]: true };
/** Either of them. */
export type LogId = PrivateId | PublicId;

/** SHA-256 of the input, 32 bytes. */
export type Sha256 = (input: Uint8Array) => Uint8Array;

const MODULUS = 1n << 256n;

/**
 * Makes a private id of 32 random bytes, clamped as the original does; parsing does not ask for the clamp.
 * @param random Read, not kept.
 * @throws {RangeError} If it is not 32 bytes.
 */
export function makePrivateId(random: Uint8Array): PrivateId {
  const id = checked(random).slice();
  id[0] &= 0xf8;
  id[31] = (id[31] & 0x7f) | 0x40;
  return id as PrivateId;
}

/**
 * Makes the number by which readers tell the processes of one stream apart (SPEC 2.3); 0 means none, so it becomes 7.
 * @param random 4 random bytes.
 */
export function makeProcId(random: Uint8Array): number {
  return new DataView(random.buffer, random.byteOffset, 4).getUint32(0, true) || 7;
}

/** Returns the public id of a private one: SHA-256 of its raw bytes, not of its text. */
export function publicIdOf(privateId: PrivateId, sha256: Sha256): PublicId {
  return checked(sha256(privateId)) as PublicId;
}

/** Writes an id as 64 lower-case hexadecimal digits. */
export function idText(id: LogId): string {
  return Array.from(id, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Reads a private id. @throws {SyntaxError} If it is not 64 hexadecimal digits; it names the length or the digit. */
export function parsePrivateId(text: string): PrivateId {
  return parse(text) as PrivateId;
}

/** Reads a public id. @throws {SyntaxError} As parsePrivateId. */
export function parsePublicId(text: string): PublicId {
  return parse(text) as PublicId;
}

/** Whether all bytes are zero: "no id". */
export function isZeroId(id: LogId): boolean {
  return id.every((byte) => byte === 0);
}

/** Orders ids bytewise. @returns Negative, 0 or positive. */
export function compareIds<T extends LogId>(a: T, b: T): number {
  for (let index = 0; index < ID_BYTES; index++) {
    if (a[index] !== b[index]) return a[index] - b[index];
  }
  return 0;
}

/** First 8 bytes as a big-endian integer. */
export function idPrefix64(id: PublicId): bigint {
  return new DataView(id.buffer, id.byteOffset, id.byteLength).getBigUint64(0);
}

/** Returns the id plus `increment`, modulo 2^256. */
export function addToId<T extends LogId>(id: T, increment: bigint): T {
  const sum = (((BigInt(`0x${idText(id)}`) + increment) % MODULUS) + MODULUS) % MODULUS;
  return parse(sum.toString(16).padStart(ID_BYTES * 2, "0")) as T;
}

function checked(bytes: Uint8Array): Uint8Array {
  if (bytes.length === ID_BYTES) return bytes;
  throw new RangeError(`Cannot make an id of ${bytes.length} bytes: ${ID_BYTES} are needed`);
}

function parse(text: string): Uint8Array {
  // The text is not quoted in the messages: it may be most of a credential.
  if (text.length !== ID_BYTES * 2) {
    throw new SyntaxError(
      `Cannot read id: its length is ${text.length}, must be ${ID_BYTES * 2} hexadecimal digits`,
    );
  }
  const bad = /[^0-9a-fA-F]/.exec(text);
  if (bad !== null) {
    throw new SyntaxError(
      `Cannot read id: character ${bad.index + 1} is ${
        JSON.stringify(bad[0])
      }, must be a hexadecimal digit`,
    );
  }
  return Uint8Array.from({ length: ID_BYTES }, (_, index) => {
    return parseInt(text.slice(index * 2, index * 2 + 2), 16);
  });
}
