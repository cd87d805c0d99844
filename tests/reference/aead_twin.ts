/**
 * ChaCha20-Poly1305 as RFC 8439 writes it down, slow and obvious: the oracle for src/platform's implementations.
 *
 * In: key, 12-byte nonce, plaintext, associated data. Out: ciphertext and tag.
 */

/** Seals as RFC 8439 §2.8 says. */
export function sealTwin(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  associated: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const ciphertext = plaintext.map((byte, index) =>
    byte ^ chachaBlock(key, 1 + Math.floor(index / 64), nonce)[index % 64]!
  );
  const macKey = chachaBlock(key, 0, nonce).subarray(0, 32);
  const lengths = new DataView(new ArrayBuffer(16));
  lengths.setUint32(0, associated.length, true);
  lengths.setUint32(8, ciphertext.length, true);
  const message = [
    ...associated,
    ...new Uint8Array(-associated.length & 15),
    ...ciphertext,
    ...new Uint8Array(-ciphertext.length & 15),
    ...new Uint8Array(lengths.buffer),
  ];
  return Uint8Array.from([...ciphertext, ...poly1305(message, macKey)]);
}

/** WireGuard's nonce of a counter (whitepaper §5.4.6). */
export function nonceTwin(counter: number): Uint8Array {
  const nonce = new DataView(new ArrayBuffer(12));
  nonce.setBigUint64(4, BigInt(counter), true);
  return new Uint8Array(nonce.buffer);
}

/** RFC 8439 §2.3. */
function chachaBlock(key: Uint8Array, counter: number, nonce: Uint8Array): Uint8Array {
  const words = (bytes: Uint8Array): number[] => {
    const view = new DataView(Uint8Array.from(bytes).buffer);
    return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4, true));
  };
  const constant = words(new TextEncoder().encode("expand 32-byte k"));
  const start = [...constant, ...words(key), counter, ...words(nonce)];
  const state = [...start];
  for (let round = 0; round < 10; round++) {
    for (let column = 0; column < 4; column++) {
      quarterRound(state, column, column + 4, column + 8, column + 12);
    }
    quarterRound(state, 0, 5, 10, 15);
    quarterRound(state, 1, 6, 11, 12);
    quarterRound(state, 2, 7, 8, 13);
    quarterRound(state, 3, 4, 9, 14);
  }
  const output = new DataView(new ArrayBuffer(64));
  state.forEach((word, index) => output.setUint32(index * 4, word + start[index]!, true));
  return new Uint8Array(output.buffer);
}

/** RFC 8439 §2.1. */
function quarterRound(state: number[], a: number, b: number, c: number, d: number): void {
  const step = (to: number, from: number, turned: number, bits: number): void => {
    state[to] = (state[to]! + state[from]!) >>> 0;
    const mixed = (state[turned]! ^ state[to]!) >>> 0;
    state[turned] = ((mixed << bits) | (mixed >>> (32 - bits))) >>> 0;
  };
  step(a, b, d, 16);
  step(c, d, b, 12);
  step(a, b, d, 8);
  step(c, d, b, 7);
}

/** RFC 8439 §2.5. */
function poly1305(message: readonly number[], key: Uint8Array): Uint8Array {
  const integer = (bytes: Iterable<number>): bigint =>
    [...bytes].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const r = integer(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const prime = (1n << 130n) - 5n;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = [...message.slice(at, at + 16), 1];
    sum = ((sum + integer(block)) * r) % prime;
  }
  const tag = (sum + integer(key.subarray(16))) & ((1n << 128n) - 1n);
  return Uint8Array.from({ length: 16 }, (_, index) => Number((tag >> BigInt(8 * index)) & 0xffn));
}
