/**
 * Netlink's framing: messages of a header and a body, bodies of a fixed part and attributes.
 *
 * In: numbers and bytes in the order they go out. Out: one buffer of whole messages; and the reverse.
 * Numbers are little-endian where netlink says "host order": Deno and Bun run on nothing else.
 * Sources: RFC 3549 §2.3, linux/netlink.h, net/netlink.h of Linux 6.1.
 */

/** Bytes of nlmsghdr. */
export const NETLINK_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** nla_len is 16 bits wide. */
const ATTRIBUTE_BYTES_MAX = 0xffff;
/** Bits of an attribute's type that are no type (NLA_F_NESTED, NLA_F_NET_BYTEORDER). */
const ATTRIBUTE_TYPE_MASK = 0x3fff;

/** Flag in an attribute's type: its payload is attributes. */
export const ATTRIBUTE_NESTED = 0x8000;

/** nlmsg_type below 16 (linux/netlink.h). */
export const NETLINK_TYPE = { ERROR: 2, DONE: 3 } as const;

/** nlmsg_flags (linux/netlink.h). Values overlap where a flag depends on the kind of request. */
export const NETLINK_FLAG = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTERRUPTED: 0x10,
  /** In an acknowledgement: the request is not repeated in it. */
  CAPPED: 0x100,
  /** In an acknowledgement: attributes follow. */
  ACK_ATTRIBUTES: 0x200,
  EXCLUSIVE: 0x200,
  DUMP: 0x300,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;

/** Families of addresses as netlink numbers them (linux/socket.h). */
export const ADDRESS_FAMILY = { UNSPECIFIED: 0, INET: 2, INET6: 10 } as const;

/** Returns netlink's number of `family`. */
export function familyNumber(family: 4 | 6): number {
  return family === 4 ? ADDRESS_FAMILY.INET : ADDRESS_FAMILY.INET6;
}

/** Writes messages one behind the other into a buffer that grows. Every call leaves the last message whole. */
export class MessageWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #messageOffset = 0;

  /** Begins a message. */
  begin(type: number, flags: number, sequence: number): this {
    const offset = this.#grow(NETLINK_HEADER_BYTES);
    this.#messageOffset = offset;
    this.#view.setUint16(offset + 4, type, true);
    this.#view.setUint16(offset + 6, flags, true);
    this.#view.setUint32(offset + 8, sequence, true);
    return this.#seal();
  }

  /** Appends bytes of the fixed part, whose length must be a multiple of 4 in the end. */
  u8(...values: number[]): this {
    const offset = this.#grow(values.length);
    this.#bytes.set(values, offset);
    return this.#seal();
  }

  /** Appends 16-bit numbers of the fixed part, in host order. */
  u16(...values: number[]): this {
    for (const value of values) {
      const offset = this.#grow(2);
      this.#view.setUint16(offset, value, true);
    }
    return this.#seal();
  }

  /** Appends 32-bit numbers of the fixed part, in host order. */
  u32(...values: number[]): this {
    for (const value of values) {
      const offset = this.#grow(4);
      this.#view.setUint32(offset, value, true);
    }
    return this.#seal();
  }

  /** Appends an attribute of raw bytes. */
  attribute(type: number, payload: Uint8Array): this {
    return this.nested(type, () => {
      const offset = this.#grow(payload.length);
      this.#bytes.set(payload, offset);
    });
  }

  /** Appends an attribute of one byte. */
  attributeU8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  /** Appends an attribute of one number in host order. */
  attributeU32(type: number, value: number): this {
    return this.nested(type, () => {
      const offset = this.#grow(4);
      this.#view.setUint32(offset, value, true);
    });
  }

  /** Appends an attribute of one number in network order, as nftables' own are. */
  attributeU32Network(type: number, value: number): this {
    return this.nested(type, () => {
      const offset = this.#grow(4);
      this.#view.setUint32(offset, value);
    });
  }

  /** Appends an attribute of text with its closing zero. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, new TextEncoder().encode(`${text}\0`));
  }

  /**
   * Appends an attribute whose payload is what `write` appends.
   * @param type With ATTRIBUTE_NESTED where the kernel wants it: rtnetlink mostly not, nftables always.
   */
  nested(type: number, write: () => void): this {
    const offset = this.#grow(ATTRIBUTE_HEADER_BYTES);
    this.#view.setUint16(offset + 2, type, true);
    write();
    const length = this.#length - offset;
    if (length > ATTRIBUTE_BYTES_MAX) {
      throw new RangeError(`Cannot hold ${length} bytes in one netlink attribute`);
    }
    this.#view.setUint16(offset, length, true);
    this.#grow(aligned(this.#length) - this.#length);
    return this.#seal();
  }

  /** Returns all messages so far: a view, valid until the next call. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Writes the length of the last message. */
  #seal(): this {
    this.#view.setUint32(this.#messageOffset, this.#length - this.#messageOffset, true);
    return this;
  }

  /** Adds `count` zero bytes; #bytes and #view may be others afterwards. @returns Offset of the first. */
  #grow(count: number): number {
    const offset = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length));
      larger.set(this.#bytes.subarray(0, offset));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return offset;
  }
}

/** One received message. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. */
  readonly body: DataView;
}

/**
 * Cuts received bytes into messages, which refer to `bytes`.
 * @throws {RangeError} If a message ends behind the bytes: the kernel does not do that.
 */
export function parseMessages(bytes: Uint8Array): NetlinkMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset + NETLINK_HEADER_BYTES <= bytes.length) {
    const length = view.getUint32(offset, true);
    if (length < NETLINK_HEADER_BYTES || offset + length > bytes.length) {
      throw new RangeError(`Cannot read a netlink message of ${length} bytes at ${offset}`);
    }
    messages.push({
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      body: part(view, offset + NETLINK_HEADER_BYTES, offset + length),
    });
    offset += aligned(length);
  }
  return messages;
}

/** Attributes by type; of several of one type, the last. */
export type Attributes = ReadonlyMap<number, DataView>;

/**
 * Reads the attributes from `offset` to the end of `body`. What does not fit ends the list, as in the kernel's
 * nla_for_each_attr.
 */
export function parseAttributes(body: DataView, offset: number): Attributes {
  const attributes = new Map<number, DataView>();
  while (offset + ATTRIBUTE_HEADER_BYTES <= body.byteLength) {
    const length = body.getUint16(offset, true);
    if (length < ATTRIBUTE_HEADER_BYTES || offset + length > body.byteLength) break;
    const type = body.getUint16(offset + 2, true) & ATTRIBUTE_TYPE_MASK;
    attributes.set(type, part(body, offset + ATTRIBUTE_HEADER_BYTES, offset + length));
    offset += aligned(length);
  }
  return attributes;
}

/** Reads a number in host order, or `otherwise` when the attribute is missing or too short. */
export function attributeU32<T>(attributes: Attributes, type: number, otherwise: T): number | T {
  const payload = attributes.get(type);
  return payload === undefined || payload.byteLength < 4 ? otherwise : payload.getUint32(0, true);
}

/** Reads text up to its closing zero; null when the attribute is missing. */
export function attributeText(attributes: Attributes, type: number): string | null {
  const payload = attributes.get(type);
  if (payload === undefined) return null;
  const bytes = viewBytes(payload);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Returns the bytes that `view` looks at. */
export function viewBytes(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function part(view: DataView, start: number, end: number): DataView {
  return new DataView(view.buffer, view.byteOffset + start, end - start);
}

/** Rounds up to netlink's alignment of 4. */
function aligned(length: number): number {
  return (length + 3) & ~3;
}
