/**
 * Known answers that a CryptoPort must reproduce before it is trusted with packets. They touch every structure that
 * libcrypto.ts lays out by hand; the tests hold both implementations to far more.
 */
import { TAG_BYTES } from "../limits.ts";
import type { CryptoPort } from "../ports.ts";
import { HASH_BYTES, KEY_BYTES } from "./crypto_shape.ts";

/** Key 00 01 02 .. 1f of the answers below. */
const KEY = Uint8Array.from({ length: KEY_BYTES }, (_, index) => index);
/** Above 2^32, so that both halves of the nonce count. */
const COUNTER = 0x1_0000_0001;

const ANSWER = {
  /** 16 zero bytes sealed under KEY and COUNTER. */
  sealed: "5f6022297b595fcdbc901fed48c1a561a27d2af8f275ed586da54430657f8ba0",
  /** BLAKE2s-256 of "abc" (RFC 7693 appendix B). */
  hash: "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
  /** 16 bytes of BLAKE2s of "abc" keyed with KEY. */
  mac: "61ba5f165c194692e09d12520cc4c74a",
  /** RFC 7748 §5.2, first vector: scalar, u-coordinate, result. */
  scalar: "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
  point: "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
  product: "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
} as const;

/** Says which answer of `port` is wrong, or null when all are right. */
export function cryptoProblem(port: CryptoPort): string | null {
  if (!sealsAndOpens(port)) return "its ChaCha20-Poly1305 gives wrong results";
  const text = new TextEncoder().encode("abc");
  const hash = new Uint8Array(HASH_BYTES);
  port.hash(hash, text);
  if (hexOf(hash) !== ANSWER.hash) return "its BLAKE2s gives wrong results";
  const mac = new Uint8Array(16);
  port.mac(mac, KEY, text);
  if (hexOf(mac) !== ANSWER.mac) return "its keyed BLAKE2s gives wrong results";
  const product = new Uint8Array(KEY_BYTES);
  const agreed = port.x25519(product, bytesOf(ANSWER.scalar), bytesOf(ANSWER.point));
  if (!agreed || hexOf(product) !== ANSWER.product) return "its X25519 gives wrong results";
  return null;
}

function sealsAndOpens(port: CryptoPort): boolean {
  const memory = new ArrayBuffer(16 + TAG_BYTES);
  const buffer = { bytes: new Uint8Array(memory), view: new DataView(memory) };
  const key = port.aeadKey(KEY);
  try {
    key.seal(buffer, 0, 16, COUNTER);
    if (hexOf(buffer.bytes) !== ANSWER.sealed) return false;
    if (!key.open(buffer, 0, memory.byteLength, COUNTER)) return false;
    if (buffer.bytes.subarray(0, 16).some((byte) => byte !== 0)) return false;
    key.seal(buffer, 0, 16, COUNTER);
    buffer.bytes[memory.byteLength - 1]! ^= 1;
    return !key.open(buffer, 0, memory.byteLength, COUNTER);
  } finally {
    key.destroy();
  }
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
}
