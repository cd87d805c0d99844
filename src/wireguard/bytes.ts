/**
 * Small operations on byte strings that the protocol needs everywhere.
 *
 * In and out: Uint8Arrays of the caller. Nothing is kept.
 */

/** Bytes of a key, private, public or preshared. */
export const KEY_BYTES = 32;

/** Tells whether two byte strings of equal length are equal, in a time that does not depend on where they differ. */
export function equalConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= a[index] ^ b[index];
  return difference === 0;
}

/** Tells whether all bytes are zero, in a time that does not depend on which are not. */
export function isAllZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (let index = 0; index < bytes.length; index++) any |= bytes[index];
  return any === 0;
}

/** Returns a text that is the same for equal byte strings only: a Map key for public, never for secret bytes. */
export function mapKey(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
