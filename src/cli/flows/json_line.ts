/**
 * Lines of JSON, exact and harmless.
 *
 * In: a value. Out: one line. Guarantees: integers keep all digits; what JSON allows in strings but could steer a terminal (C1
 * controls, marks of direction) is written as an escape, so that it reads back as it was.
 */
import { type Json, writeJson } from "../../collector/mod.ts";

/** C0 controls JSON has escaped already. */
const STEERING = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Writes a value and a line end. */
export function jsonLine(value: Json): string {
  return `${harmlessJson(writeJson(value))}\n`;
}

/** JSON text with the same value. */
export function harmlessJson(text: string): string {
  return text.replace(
    STEERING,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
