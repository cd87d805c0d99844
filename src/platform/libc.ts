/**
 * The C library: its functions, errno, and the few calls that every user of descriptors needs, with typed errors.
 *
 * In: arguments of system calls and, in words, what they are for. Out: results, or a SystemCallError such as
 * `Cannot open "/dev/net/tun": errno is 1 (EPERM): run as root or grant CAP_NET_ADMIN`.
 *
 * On the packet path use `libc()` itself and `lastErrno()`: no call here throws then.
 */
import { ERRNO, SystemCallError } from "../errors.ts";
import { type CFunctions, cString, foreign, loadLibrary } from "./ffi.ts";
import { LIBC } from "./signatures.ts";

/** Functions of the C library. */
export type Libc = CFunctions<typeof LIBC.functions>;

/** What to do about an errno, by number: one clause in the imperative each. */
export type Advice = Readonly<Record<number, string>>;

/** Flags of open(2). Source: asm-generic/fcntl.h, the same on x86-64 and arm64 for these. */
export const OPEN = {
  READ: 0,
  WRITE: 1,
  READ_WRITE: 2,
  CREATE: 0o100,
  EXCLUSIVE: 0o200,
  TRUNCATE: 0o1000,
  NONBLOCK: 0o4000,
  CLOEXEC: 0o2000000,
} as const;

/** What makes EPERM and EACCES go away wherever the network is configured. */
export const ADVICE_NET_ADMIN: Advice = {
  [ERRNO.EPERM]: "run as root or grant CAP_NET_ADMIN",
  [ERRNO.EACCES]: "run as root or grant CAP_NET_ADMIN",
};

let loaded: Libc | undefined;
let errnoWord: Int32Array | undefined;

/**
 * Functions of the C library, loaded at the first call.
 *
 * @throws {PermissionError} If the runtime does not allow FFI.
 * @throws {LibraryError} If there is no C library that tunlog knows.
 */
export function libc(): Libc {
  if (loaded === undefined) {
    loaded = loadLibrary(LIBC);
    // errno of this thread stays where it is for as long as the thread lives, and each thread loads its own module.
    errnoWord = new Int32Array(foreign.memory(loaded.__errno_location()!, 4));
  }
  return loaded;
}

/** errno of the last call that failed on this thread, positive. Valid iff read right after it: 1 ns. */
export function lastErrno(): number {
  return errnoWord === undefined ? 0 : errnoWord[0]!;
}

/**
 * Passes a result through, or throws when it is negative.
 *
 * @param action What was tried, without "Cannot": `bind UDP port 51820`.
 * @throws {SystemCallError} With errno, so nothing may stand between the call and this.
 */
export function checked(result: number, action: string, advice: Advice = {}): number {
  if (result >= 0) return result;
  const errno = lastErrno();
  throw new SystemCallError(action, errno, advice[errno]);
}

/** Opens `path`, always with O_CLOEXEC. @returns Descriptor. @throws {SystemCallError} If the kernel refuses. */
export function openFile(
  path: string,
  flags: number,
  options: { readonly mode?: number; readonly advice?: Advice } = {},
): number {
  const { mode = 0o600, advice = {} } = options;
  return checked(
    libc().open(cString(path), flags | OPEN.CLOEXEC, mode),
    `open "${path}"`,
    advice,
  );
}

/** Closes a descriptor. Errors are of no use: Linux releases the descriptor in any case (close(2)). */
export function closeFile(fd: number): void {
  libc().close(fd);
}

/** Reads at most `output.length` bytes. @returns Bytes read; 0 = end. @throws {SystemCallError} */
export function readFile(fd: number, output: Uint8Array, action: string): number {
  return checked(retried(() => libc().read(fd, output, output.length)), action);
}

/** Writes all of `input`. @throws {SystemCallError} */
export function writeFile(fd: number, input: Uint8Array, action: string, advice?: Advice): void {
  for (let done = 0; done < input.length;) {
    const rest = input.subarray(done);
    done += checked(retried(() => libc().write(fd, rest, rest.length)), action, advice);
  }
}

/**
 * Makes a socket, always with SOCK_CLOEXEC.
 *
 * @param kind What it is, for the error: `UDP socket`.
 * @throws {SystemCallError} If the kernel refuses.
 */
export function openSocket(
  domain: number,
  type: number,
  protocol: number,
  kind: string,
  advice?: Advice,
): number {
  return checked(libc().socket(domain, type | OPEN.CLOEXEC, protocol), `open ${kind}`, advice);
}

/** Binds a socket to a `struct sockaddr`. @throws {SystemCallError} If the kernel refuses. */
export function bindSocket(
  fd: number,
  address: Uint8Array,
  action: string,
  advice?: Advice,
): void {
  checked(libc().bind(fd, address, address.length), action, advice);
}

/** Sends one message on a connected or netlink socket. @throws {SystemCallError} If the kernel refuses. */
export function sendMessage(fd: number, message: Uint8Array, action: string): void {
  checked(retried(() => libc().send(fd, message, message.length, 0)), action);
}

/**
 * Receives one message, blocking if the socket does.
 *
 * @param flags MSG_*; with MSG_TRUNC (0x20) the result is the whole length even when `output` is shorter.
 * @returns Its length. @throws {SystemCallError} If the kernel refuses, EAGAIN included.
 */
export function receiveMessage(
  fd: number,
  output: Uint8Array,
  action: string,
  flags = 0,
): number {
  return checked(retried(() => libc().recv(fd, output, output.length, flags)), action);
}

/** Sets an int option. @returns 0 or a negated errno, because most options are wishes. */
export function setSocketOption(fd: number, level: number, option: number, value: number): number {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return libc().setsockopt(fd, level, option, bytes, 4) < 0 ? -lastErrno() : 0;
}

/** Reads an int option. @returns null when the kernel does not know it. */
export function getSocketOption(fd: number, level: number, option: number): number | null {
  const value = new Int32Array(1);
  const length = Uint32Array.of(4);
  const result = libc().getsockopt(
    fd,
    level,
    option,
    new Uint8Array(value.buffer),
    new Uint8Array(length.buffer),
  );
  return result < 0 ? null : value[0]!;
}

/** Device control with a structure. @throws {SystemCallError} If the kernel refuses. */
export function deviceControl(
  fd: number,
  request: number,
  argument: Uint8Array,
  action: string,
  advice?: Advice,
): void {
  checked(libc().ioctl(fd, request, argument), action, advice);
}

/** Repeats a call for as long as signals interrupt it. */
export function retried(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || lastErrno() !== ERRNO.EINTR) return result;
  }
}
