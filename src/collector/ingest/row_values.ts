/** Values of rows that both ways of reading them share: address numbers, and counters beyond 2^53. */
import { COUNT_MAX } from "../../netlog/mod.ts";
import { type AddressPort, addressText } from "../../packet/mod.ts";
import { COUNTERS, type RowColumns } from "../rows.ts";
import type { StoreWriter } from "../store.ts";

/** Who numbers addresses. */
export type AddressNumbers = Pick<StoreWriter, "address" | "addressOfWords">;

/** What writers that count in floats make of 2^64 - 1 (SPEC 1.2); netlog's reader takes it for the same. */
const COUNT_MAX_AS_FLOAT = 18446744073709552000n;

/** Number of an address that was read from text. */
export function addressNumber(numbers: AddressNumbers, address: AddressPort): number {
  const { addressWords, family, zone } = address;
  return zone === ""
    ? numbers.addressOfWords(addressWords, 0, family)
    : numbers.address(`${addressText(addressWords, 0, family)}%${zone}`);
}

/** Sets a counter of any size. @returns false if no counter is so large. */
export function setCounter(
  columns: RowColumns,
  row: number,
  index: number,
  value: bigint,
): boolean {
  if (value > COUNT_MAX_AS_FLOAT) return false;
  const count = value > COUNT_MAX ? COUNT_MAX : value;
  columns.counters[index][row] = Number(count);
  const key = row * COUNTERS.length + index;
  if (count > BigInt(Number.MAX_SAFE_INTEGER)) columns.beyond.set(key, count);
  else columns.beyond.delete(key);
  return true;
}

/** Exact value of a counter. */
export function exactCounter(columns: RowColumns, row: number, index: number): bigint {
  return columns.beyond.get(row * COUNTERS.length + index) ?? BigInt(columns.counters[index][row]);
}
