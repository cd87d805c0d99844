/**
 * Error classes that a caller must be able to tell apart.
 *
 * In: what failed. Out: one sentence in the project's form, e.g.
 * `Cannot open TUN device "tun0": errno is 16 (EBUSY)`.
 * Not here: per-packet rejections, which are status numbers (see counters.ts).
 */

/** Linux errno values that tunlog's calls can return. Source: asm-generic/errno-base.h, errno.h. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EROFS: 30,
  EPIPE: 32,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  EPROTO: 71,
  EBADMSG: 74,
  EBADFD: 77,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNRESET: 104,
  ENOBUFS: 105,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
} as const;

const NAME_BY_ERRNO = new Map<number, string>(
  Object.entries(ERRNO).map(([name, value]) => [value, name]),
);

/** Returns the symbolic name of `errno`, e.g. `EPERM`, or `E?` when it is not one that tunlog names. */
export function errnoName(errno: number): string {
  return NAME_BY_ERRNO.get(errno) ?? "E?";
}

/**
 * Whether an error may be of an entry of many datagrams (UDP_SEGMENT) and not of its datagrams: the device cannot make
 * checksums (EIO), the path is narrower than a datagram (EINVAL, EMSGSIZE: one by one they are fragmented), the kernel
 * does not know how (ENOPROTOOPT, EOPNOTSUPP). Source: udp_send_skb of net/ipv4/udp.c and net/ipv6/udp.c.
 */
export function refusesSegments(errno: number): boolean {
  return errno === ERRNO.EIO || errno === ERRNO.EINVAL || errno === ERRNO.EMSGSIZE ||
    errno === ERRNO.ENOPROTOOPT || errno === ERRNO.EOPNOTSUPP;
}

/** A system call failed. `errno` is positive; `advice`, when given, says what the user can do. */
export class SystemCallError extends Error {
  override readonly name = "SystemCallError";

  /**
   * @param action What could not be done, without a leading "Cannot": `open TUN device "tun0"`.
   * @param errno Positive errno.
   * @param advice One clause in the imperative, e.g. `run as root or grant CAP_NET_ADMIN`.
   */
  constructor(action: string, readonly errno: number, readonly advice?: string) {
    const what = `Cannot ${action}: errno is ${errno} (${errnoName(errno)})`;
    super(advice === undefined ? what : `${what}: ${advice}`);
  }
}

/** A configuration file, command line or UAPI request is wrong. Exit code 2 at the command line. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  /**
   * @param problem Says key, quoted value and the wanted form.
   * @param path File that it stands in, if any.
   * @param line 1-based line, if any.
   */
  constructor(problem: string, readonly path?: string, readonly line?: number) {
    super(
      path === undefined ? problem : `${path}${line === undefined ? "" : `:${line}`}: ${problem}`,
    );
  }
}

/** The runtime refuses what the machine would allow: a Deno permission is missing. */
export class PermissionError extends Error {
  override readonly name = "PermissionError";

  /**
   * @param action What could not be done, without a leading "Cannot".
   * @param permission Deno's name of what is missing, e.g. `ffi`; its flag is `--allow-ffi`.
   */
  constructor(action: string, readonly permission: string) {
    // deno.json's set has all that tunlog asks for but this one, which nobody should get by habit.
    const other = permission === "run" ? "" : " (or run with -P)";
    super(
      `Cannot ${action}: permission "${permission}" is missing: add --allow-${permission}${other}`,
    );
  }
}

/** A shared library cannot be loaded, or lacks a function. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";

  /**
   * @param title How people call the library: `OpenSSL 3`.
   * @param problems What the dynamic linker said about each file tried, in order.
   */
  constructor(title: string, readonly problems: readonly string[]) {
    super(`Cannot load ${title}: ${problems.join("; ")}`);
  }
}

/** Returns what went wrong, for people: the message of an error, or whatever was thrown as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
