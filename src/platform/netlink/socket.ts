/**
 * Netlink sockets: requests and their answers, one at a time.
 *
 * In: whole messages (see message.ts). Out: acknowledgement or answers, or a SystemCallError that carries the
 * kernel's own words where it gave some (NETLINK_EXT_ACK).
 * Only the kernel and root can send to a NETLINK_ROUTE or NETLINK_NETFILTER socket, so senders are not checked.
 * Sources: RFC 3549 §2, net/netlink/af_netlink.c of Linux 6.1.
 */

import { ERRNO, SystemCallError } from "../../errors.ts";
import {
  NETLINK_DUMP_ATTEMPTS_MAX,
  NETLINK_RECEIVE_BYTES,
  NETLINK_TIMEOUT_MS,
} from "../../limits.ts";
import {
  type Advice,
  bindSocket,
  checked,
  closeFile,
  libc,
  openSocket,
  receiveMessage,
  sendMessage,
  setSocketOption,
} from "../libc.ts";
import {
  attributeText,
  NETLINK_FLAG,
  NETLINK_HEADER_BYTES,
  NETLINK_TYPE,
  type NetlinkMessage,
  parseAttributes,
  parseMessages,
} from "./message.ts";

/** Kernel parts that netlink speaks to (linux/netlink.h). */
export const NETLINK_PROTOCOL = { ROUTE: 0, NETFILTER: 12 } as const;

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
/** Makes recv() tell the whole length of a datagram that did not fit. */
const MSG_TRUNC = 0x20;
/** Attribute of an error that holds the kernel's words (NLMSGERR_ATTR_MSG). */
const ERROR_TEXT = 1;
const SOCKADDR_BYTES = 12;

/** What a request is for: words for the error, made only when there is one, and advice by errno. */
export interface Purpose {
  /** Without "Cannot": `add address "10.0.0.1/24" to "wg0"`. */
  readonly action: () => string;
  readonly advice?: Advice;
}

/** One netlink socket. Not for several threads. */
export class NetlinkSocket {
  readonly #fd: number;
  readonly #received = new Uint8Array(NETLINK_RECEIVE_BYTES);
  #sequence = 0;
  #open = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Opens a socket. @throws {SystemCallError} If the kernel refuses, EPROTONOSUPPORT if it lacks the protocol. */
  static open(protocol: number): NetlinkSocket {
    const fd = openSocket(AF_NETLINK, SOCK_RAW, protocol, "netlink socket");
    try {
      const timeout = new Uint8Array(16);
      new DataView(timeout.buffer).setUint32(0, NETLINK_TIMEOUT_MS / 1000, true);
      const result = libc().setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length);
      checked(result, "set the timeout of a netlink socket");
      // Wishes: older kernels answer without words, unfiltered or with the request repeated.
      for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK]) {
        setSocketOption(fd, SOL_NETLINK, option, 1);
      }
      // An address of zeros but for the family: the kernel chooses the port.
      const address = new Uint8Array(SOCKADDR_BYTES);
      address[0] = AF_NETLINK;
      bindSocket(fd, address, "bind a netlink socket");
    } catch (error) {
      closeFile(fd);
      throw error;
    }
    return new NetlinkSocket(fd);
  }

  /**
   * Sends a request that is acknowledged and nothing else.
   * @param build Makes the message, given its sequence number.
   * @throws {SystemCallError} With the kernel's errno.
   */
  command(build: (sequence: number) => Uint8Array, purpose: Purpose): void {
    const sequence = this.#nextSequence();
    this.#send(build(sequence), purpose);
    for (;;) {
      for (const message of this.#receive(purpose)) {
        if (message.sequence !== sequence || message.type !== NETLINK_TYPE.ERROR) continue;
        throwError(message, purpose);
        return;
      }
    }
  }

  /** Sends a request that has one answer. @throws {SystemCallError} With the kernel's errno. */
  query(build: (sequence: number) => Uint8Array, purpose: Purpose): NetlinkMessage {
    const sequence = this.#nextSequence();
    this.#send(build(sequence), purpose);
    for (;;) {
      for (const message of this.#receive(purpose)) {
        if (message.sequence !== sequence) continue;
        throwError(message, purpose);
        return message;
      }
    }
  }

  /**
   * Sends a request that has a list of answers, and asks again when the list changed meanwhile.
   * @throws {SystemCallError} With the kernel's errno; EAGAIN when the list never held still.
   */
  dump(build: (sequence: number) => Uint8Array, purpose: Purpose): NetlinkMessage[] {
    for (let attempt = 0; attempt < NETLINK_DUMP_ATTEMPTS_MAX; attempt++) {
      const answers = this.#dumpOnce(build, purpose);
      if (answers !== null) return answers;
    }
    throw new SystemCallError(purpose.action(), ERRNO.EAGAIN, "it keeps changing: try again");
  }

  /**
   * Sends several messages at once, each of which is acknowledged.
   * @param build Makes the batch; the acknowledged messages are numbered from the one after its first.
   * @throws {SystemCallError} With the errno of the first that failed.
   */
  batch(
    build: (sequence: number) => { readonly bytes: Uint8Array; readonly acknowledgements: number },
    purpose: Purpose,
  ): void {
    const first = this.#nextSequence();
    const { bytes, acknowledgements } = build(first);
    this.#sequence = first + acknowledgements + 1;
    this.#send(bytes, purpose);
    for (let count = 0; count < acknowledgements;) {
      for (const message of this.#receive(purpose)) {
        // An error of the whole batch carries the number of its first message.
        if (message.type !== NETLINK_TYPE.ERROR || message.sequence < first) continue;
        throwError(message, purpose);
        if (message.sequence > first) count++;
      }
    }
  }

  /** Closes the socket. Safe to call twice. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeFile(this.#fd);
  }

  /** @returns null when the kernel says that the list changed while it was written. */
  #dumpOnce(build: (sequence: number) => Uint8Array, purpose: Purpose): NetlinkMessage[] | null {
    const sequence = this.#nextSequence();
    this.#send(build(sequence), purpose);
    const answers: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive(purpose)) {
        if (message.sequence !== sequence) continue;
        throwError(message, purpose);
        interrupted ||= (message.flags & NETLINK_FLAG.DUMP_INTERRUPTED) !== 0;
        if (message.type === NETLINK_TYPE.DONE) return interrupted ? null : answers;
        answers.push(message);
      }
    }
  }

  #nextSequence(): number {
    // Far from 2^32: numbers only tell an answer from one that came too late.
    return ++this.#sequence;
  }

  #send(message: Uint8Array, purpose: Purpose): void {
    try {
      sendMessage(this.#fd, message, "send to the kernel");
    } catch (error) {
      throw explained(error, purpose);
    }
  }

  /** Waits for the next datagram. Its messages refer to a copy, for the caller may keep them. */
  #receive(purpose: Purpose): NetlinkMessage[] {
    let length: number;
    try {
      length = receiveMessage(this.#fd, this.#received, "receive from the kernel", MSG_TRUNC);
    } catch (error) {
      throw explained(error, purpose);
    }
    if (length > this.#received.length) {
      throw new SystemCallError(purpose.action(), ERRNO.EMSGSIZE, `the answer has ${length} bytes`);
    }
    return parseMessages(this.#received.slice(0, length));
  }
}

/** Gives a failed send or receive the words of the request that it was for. */
function explained(error: unknown, purpose: Purpose): unknown {
  if (!(error instanceof SystemCallError)) return error;
  const advice = error.errno === ERRNO.EAGAIN
    ? `the kernel did not answer within ${NETLINK_TIMEOUT_MS / 1000} s`
    : purpose.advice?.[error.errno];
  return new SystemCallError(purpose.action(), error.errno, advice);
}

/** Throws iff `message` reports an error: NLMSG_ERROR, or the end of a list that broke off. */
function throwError(message: NetlinkMessage, purpose: Purpose): void {
  const { type, body } = message;
  if (type !== NETLINK_TYPE.ERROR && type !== NETLINK_TYPE.DONE) return;
  const errno = body.byteLength < 4 ? 0 : -body.getInt32(0, true);
  if (errno === 0) return;
  const advice = purpose.advice?.[errno];
  const words = kernelWords(message);
  const reasons = [advice, words === null ? undefined : `the kernel says "${words}"`];
  const text = reasons.filter((reason) => reason !== undefined).join("; ");
  throw new SystemCallError(purpose.action(), errno, text === "" ? undefined : text);
}

/** What the kernel says about an error beyond its number. */
function kernelWords(message: NetlinkMessage): string | null {
  const { type, flags, body } = message;
  if ((flags & NETLINK_FLAG.ACK_ATTRIBUTES) === 0) return null;
  let offset = 4;
  if (type === NETLINK_TYPE.ERROR) {
    // The request's header stands behind the errno, and all of the request unless the answer is capped.
    const capped = (flags & NETLINK_FLAG.CAPPED) !== 0;
    offset += capped ? NETLINK_HEADER_BYTES : (body.getUint32(4, true) + 3) & ~3;
  }
  return attributeText(parseAttributes(body, offset), ERROR_TEXT);
}
