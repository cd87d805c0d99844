/**
 * Checks that JSON from another process has the shape that a type promises.
 *
 * In: `unknown`. Out: a typed copy that holds the known members only, so that a newer sender may say more; or a
 * TypeError that names the member.
 */

/** Takes `value` as a T. @throws {TypeError} If it is none; `where` names it. */
export type Check<T> = (value: unknown, where: string) => T;

function refuse(where: string, form: string): never {
  throw new TypeError(`Cannot read ${where}: must be ${form}`);
}

/** A string. */
export const text: Check<string> = (value, where) =>
  typeof value === "string" ? value : refuse(where, "a text");

/** A finite number that is not negative: all that we count. */
export const count: Check<number> = (value, where) =>
  typeof value === "number" && Number.isFinite(value) && value >= 0
    ? value
    : refuse(where, "a number from 0");

/** true or false. */
export const flag: Check<boolean> = (value, where) =>
  typeof value === "boolean" ? value : refuse(where, "true or false");

/** What `check` takes, or null. */
export function nullable<T>(check: Check<T>): Check<T | null> {
  return (value, where) => value === null ? null : check(value, where);
}

/** An array of what `check` takes. */
export function listOf<T>(check: Check<T>): Check<readonly T[]> {
  return (value, where) =>
    Array.isArray(value)
      ? value.map((item, index) => check(item, `${where}[${index}]`))
      : refuse(where, "a list");
}

/** An object of any names, each with what `check` takes. */
export function mapOf<T>(check: Check<T>): Check<Readonly<Record<string, T>>> {
  return (value, where) =>
    Object.fromEntries(
      Object.entries(record(value, where)).map(([name, member]) =>
        [name, check(member, `${where}.${name}`)] as const
      ),
    );
}

/** An object with exactly the members of T; the compiler sees to it that none is forgotten here. */
export function objectOf<T extends object>(
  checks: { readonly [K in keyof T]: Check<T[K]> },
): Check<T> {
  const members = Object.entries(checks) as [string, Check<unknown>][];
  return (value, where) => {
    const object = record(value, where);
    // Built from one check per member of T.
    return Object.fromEntries(
      members.map(([name, check]) => [name, check(object[name], `${where}.${name}`)]),
    ) as T;
  };
}

/** Any object. */
export const record: Check<Readonly<Record<string, unknown>>> = (value, where) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : refuse(where, "an object");
