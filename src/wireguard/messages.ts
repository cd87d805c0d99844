/**
 * Layout of the four WireGuard messages (whitepaper §5.4.2 - §5.4.7). All numbers are little endian.
 *
 * In: bytes of a datagram. Out: its kind, and views of its fields; or the other way round. Parsing looks at lengths
 * and types alone; authenticity is the business of noise.ts, cookie.ts and session.ts.
 */

/** First byte of a message; the three that follow are zero. */
export const MESSAGE = { INITIATION: 1, RESPONSE: 2, COOKIE: 3, DATA: 4 } as const;

/** What messageKind answers for bytes that are no message. */
export const NOT_A_MESSAGE = 0;

/** Length of an initiation in bytes. */
export const INITIATION_BYTES = 148;
/** Length of a response in bytes. */
export const RESPONSE_BYTES = 92;
/** Length of a cookie reply in bytes. */
export const COOKIE_BYTES = 64;
/** Length of the shortest data message in bytes: header and tag, a keepalive. */
export const DATA_BYTES_MIN = 32;
/** Length of mac1 and of mac2, the last two fields of initiation and response, in bytes. */
export const MAC_BYTES = 16;
/** Length of a TAI64N timestamp in bytes. */
export const TIMESTAMP_BYTES = 12;
/** Length of a cookie in bytes. */
export const COOKIE_VALUE_BYTES = 16;

/** Offsets in an initiation. */
export const INITIATION = {
  SENDER: 4,
  EPHEMERAL: 8,
  STATIC: 40,
  TIMESTAMP: 88,
  MAC1: 116,
} as const;
/** Offsets in a response. */
export const RESPONSE = { SENDER: 4, RECEIVER: 8, EPHEMERAL: 12, EMPTY: 44, MAC1: 60 } as const;
/** Offsets in a cookie reply. */
export const COOKIE_REPLY = { RECEIVER: 4, NONCE: 8, SEALED: 32 } as const;
/** Offsets in a data message. */
export const DATA = { RECEIVER: 4, COUNTER_LO: 8, COUNTER_HI: 12, PAYLOAD: 16 } as const;

/** Fields of an initiation, as views of its bytes. */
export interface Initiation {
  readonly senderIndex: number;
  /** Unencrypted ephemeral public key. */
  readonly ephemeral: Uint8Array;
  /** Sealed static public key, 48 bytes. */
  readonly sealedStatic: Uint8Array;
  /** Sealed timestamp, 28 bytes. */
  readonly sealedTimestamp: Uint8Array;
}

/** Fields of a response, as views of its bytes. */
export interface Response {
  readonly senderIndex: number;
  readonly receiverIndex: number;
  /** Unencrypted ephemeral public key. */
  readonly ephemeral: Uint8Array;
  /** Sealed empty string, 16 bytes. */
  readonly sealedEmpty: Uint8Array;
}

/** Fields of a cookie reply, as views of its bytes. */
export interface CookieReply {
  readonly receiverIndex: number;
  readonly nonce: Uint8Array;
  /** Sealed cookie, 32 bytes. */
  readonly sealedCookie: Uint8Array;
}

/**
 * Tells what the `length` bytes at `offset` are by type and length.
 * @returns One of MESSAGE; every read at that message's offsets is then within its bytes. Else NOT_A_MESSAGE.
 */
export function messageKind(view: DataView, offset: number, length: number): number {
  if (length < DATA_BYTES_MIN) return NOT_A_MESSAGE;
  // The reserved bytes are part of the number, so that they are checked with it.
  switch (view.getUint32(offset, true)) {
    case MESSAGE.DATA:
      return MESSAGE.DATA;
    case MESSAGE.INITIATION:
      return length === INITIATION_BYTES ? MESSAGE.INITIATION : NOT_A_MESSAGE;
    case MESSAGE.RESPONSE:
      return length === RESPONSE_BYTES ? MESSAGE.RESPONSE : NOT_A_MESSAGE;
    case MESSAGE.COOKIE:
      return length === COOKIE_BYTES ? MESSAGE.COOKIE : NOT_A_MESSAGE;
    default:
      return NOT_A_MESSAGE;
  }
}

/** Reads an initiation. @param bytes INITIATION_BYTES, of that type. */
export function parseInitiation(bytes: Uint8Array): Initiation {
  return {
    senderIndex: readWord(bytes, INITIATION.SENDER),
    ephemeral: bytes.subarray(INITIATION.EPHEMERAL, INITIATION.STATIC),
    sealedStatic: bytes.subarray(INITIATION.STATIC, INITIATION.TIMESTAMP),
    sealedTimestamp: bytes.subarray(INITIATION.TIMESTAMP, INITIATION.MAC1),
  };
}

/** Writes an initiation with zero macs. @param output INITIATION_BYTES. */
export function emitInitiation(fields: Initiation, output: Uint8Array): void {
  output.fill(0);
  output[0] = MESSAGE.INITIATION;
  writeWord(output, INITIATION.SENDER, fields.senderIndex);
  output.set(fields.ephemeral, INITIATION.EPHEMERAL);
  output.set(fields.sealedStatic, INITIATION.STATIC);
  output.set(fields.sealedTimestamp, INITIATION.TIMESTAMP);
}

/** Reads a response. @param bytes RESPONSE_BYTES, of that type. */
export function parseResponse(bytes: Uint8Array): Response {
  return {
    senderIndex: readWord(bytes, RESPONSE.SENDER),
    receiverIndex: readWord(bytes, RESPONSE.RECEIVER),
    ephemeral: bytes.subarray(RESPONSE.EPHEMERAL, RESPONSE.EMPTY),
    sealedEmpty: bytes.subarray(RESPONSE.EMPTY, RESPONSE.MAC1),
  };
}

/** Writes a response with zero macs. @param output RESPONSE_BYTES. */
export function emitResponse(fields: Response, output: Uint8Array): void {
  output.fill(0);
  output[0] = MESSAGE.RESPONSE;
  writeWord(output, RESPONSE.SENDER, fields.senderIndex);
  writeWord(output, RESPONSE.RECEIVER, fields.receiverIndex);
  output.set(fields.ephemeral, RESPONSE.EPHEMERAL);
  output.set(fields.sealedEmpty, RESPONSE.EMPTY);
}

/** Reads a cookie reply. @param bytes COOKIE_BYTES, of that type. */
export function parseCookieReply(bytes: Uint8Array): CookieReply {
  return {
    receiverIndex: readWord(bytes, COOKIE_REPLY.RECEIVER),
    nonce: bytes.subarray(COOKIE_REPLY.NONCE, COOKIE_REPLY.SEALED),
    sealedCookie: bytes.subarray(COOKIE_REPLY.SEALED, COOKIE_BYTES),
  };
}

/** Writes a cookie reply. @param output COOKIE_BYTES. */
export function emitCookieReply(fields: CookieReply, output: Uint8Array): void {
  output.fill(0);
  output[0] = MESSAGE.COOKIE;
  writeWord(output, COOKIE_REPLY.RECEIVER, fields.receiverIndex);
  output.set(fields.nonce, COOKIE_REPLY.NONCE);
  output.set(fields.sealedCookie, COOKIE_REPLY.SEALED);
}

/** Reads a little-endian u32. */
export function readWord(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] | bytes[offset + 1] << 8 | bytes[offset + 2] << 16 |
    bytes[offset + 3] << 24) >>> 0;
}

/** Writes a little-endian u32. */
export function writeWord(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}
