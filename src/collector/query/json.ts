/**
 * Values → JSON text. Integers of any size are written as digits, so that counters beyond 2^53 stay exact for readers that
 * can hold them; JSON itself sets no limit (RFC 8259 §6). Members that are undefined are left out.
 */
import type { Json } from "./question.ts";

/** Writes a value. */
export function writeJson(value: Json): string {
  const pieces: string[] = [];
  write(value, pieces);
  return pieces.join("");
}

function write(value: Json | undefined, pieces: string[]): void {
  if (typeof value === "bigint") pieces.push(String(value));
  else if (value === null || value === undefined) pieces.push("null");
  else if (Array.isArray(value)) {
    pieces.push("[");
    for (let index = 0; index < value.length; index++) {
      if (index > 0) pieces.push(",");
      write(value[index], pieces);
    }
    pieces.push("]");
  } else if (typeof value === "object") {
    pieces.push("{");
    let isFirst = true;
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      pieces.push(isFirst ? "" : ",", JSON.stringify(name), ":");
      write(member, pieces);
      isFirst = false;
    }
    pieces.push("}");
  } else pieces.push(JSON.stringify(value));
}
