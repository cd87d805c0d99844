/**
 * Addresses as the store's dictionary sorts them: a byte for the family, 16 for the address, then the zone if it has one.
 * The addresses of a prefix are neighbours in that order.
 *
 * In and out: text, words, keys. Not here: their numbers (address_book.ts, reader.ts).
 */
import {
  addressBits,
  addressText,
  type Family,
  parseAddress,
  parsePrefix,
} from "../../packet/mod.ts";

/** Bytes of a key without a zone. */
export const ADDRESS_KEY_BYTES = 17;

/** Writes the key of the address that `words` hold from `wordOffset` on. */
export function addressKey(words: Uint32Array, wordOffset: number, family: Family): Uint8Array {
  const key = new Uint8Array(ADDRESS_KEY_BYTES);
  const view = new DataView(key.buffer);
  key[0] = family;
  for (let word = 0; word < 4; word++) view.setUint32(1 + word * 4, words[wordOffset + word]);
  return key;
}

/**
 * Key of an address in text.
 * @throws {RangeError} If it is not an address.
 */
export function addressKeyOf(text: string): Uint8Array {
  const percent = text.indexOf("%");
  const zone = percent < 0 ? "" : text.slice(percent + 1);
  const address = parseAddress(percent < 0 ? text : text.slice(0, percent));
  const hasBadZone = percent >= 0 && (!/^[\w.-]{1,64}$/.test(zone) || address?.family !== 6);
  if (address === null || hasBadZone) {
    throw new RangeError(`Cannot number ${JSON.stringify(text)}: it is not an address`);
  }
  const key = addressKey(address.addressWords, 0, address.family);
  return zone === "" ? key : Uint8Array.of(...key, ...new TextEncoder().encode(zone));
}

/** Text of a key's address. */
export function addressKeyText(key: Uint8Array): string {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  const words = new Uint32Array(4).map((_, word) => view.getUint32(1 + word * 4));
  const text = addressText(words, 0, key[0] as Family);
  if (key.length === ADDRESS_KEY_BYTES) return text;
  return `${text}%${new TextDecoder().decode(key.subarray(ADDRESS_KEY_BYTES))}`;
}

/**
 * Keys between which a prefix lies: from (inclusive) to (exclusive).
 * @throws {RangeError} If it is not a prefix.
 */
export function prefixKeys(text: string): { from: Uint8Array; to: Uint8Array } {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new RangeError(`Cannot search ${JSON.stringify(text)}: no prefix`);
  const { addressWords, family, prefixBits } = prefix;
  const from = addressKey(addressWords, 0, family);
  const bits = 8 + 128 - addressBits(family) + prefixBits;
  // Bits behind the prefix away, then one more in its last bit.
  for (let bit = bits; bit < ADDRESS_KEY_BYTES * 8; bit++) from[bit >> 3] &= ~(0x80 >> (bit & 7));
  const to = from.slice();
  let byte = (bits - 1) >> 3;
  let sum = to[byte] + (1 << (7 - ((bits - 1) & 7)));
  while (sum > 255) {
    to[byte--] = sum & 255;
    sum = to[byte] + 1;
  }
  to[byte] = sum;
  return { from, to };
}
