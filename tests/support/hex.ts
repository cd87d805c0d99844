/** Bytes written by hand: hexadecimal digits, with spaces, bars and `# comments` between them ignored. */

/** Reads bytes. @throws {SyntaxError} If something else than two-digit bytes is left. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/#.*$/gm, "").replace(/[\s|]+/g, "");
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new SyntaxError(`No hexadecimal bytes: "${digits}"`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Writes bytes as one comparable line. */
export function hexText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
}
