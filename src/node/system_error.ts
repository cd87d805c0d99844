/**
 * Errors of `node:` modules → SystemCallError.
 *
 * In: what `node:fs` and `node:net` throw, which names its errno in `code` (Deno and Bun give `errno` other signs).
 * Out: the project's error, with the advice that fits.
 */
import { ERRNO, SystemCallError } from "../errors.ts";

/** Returns the positive errno of an error from a `node:` module, or undefined if it is none of those we name. */
export function errnoOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return (ERRNO as Readonly<Record<string, number>>)[String(error.code)];
}

/**
 * Makes a SystemCallError of an error from outside; one without errno comes back as it is.
 * @param action As in SystemCallError.
 * @param adviceByErrno What the user can do about some of them.
 */
export function systemError(
  action: string,
  error: unknown,
  adviceByErrno: Readonly<Record<number, string>> = {},
): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const wrapped = new SystemCallError(action, errno, adviceByErrno[errno]);
  wrapped.cause = error;
  return wrapped;
}
