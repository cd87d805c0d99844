/**
 * Values of answers as people read them in tables.
 *
 * In: values of answers. Out: text. Numbers have three digits that count and a unit, or all digits if `exact`.
 */
import { localTimeText, protoName, type ZoneOffset } from "../../netlog/mod.ts";
import { msOfNs, NS_PER_MS, parseTime } from "../../time_text.ts";
import type { Integer } from "./members.ts";

const UNITS = {
  1000: ["", "k", "M", "G", "T", "P", "E"],
  1024: ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"],
} as const;

/** Writes numbers. */
export class NumberWriter {
  readonly #isExact: boolean;

  constructor(isExact: boolean) {
    this.#isExact = isExact;
  }

  /** Packets, rows: units of 1000. */
  count(value: Integer): string {
    return this.#write(value, 1000);
  }

  /** Bytes: units of 1024. */
  bytes(value: Integer): string {
    return this.#write(value, 1024);
  }

  /** Bits per second, whole: units of 1000. */
  rate(value: number): string {
    return this.#isExact ? String(Math.round(value)) : shortText(value, 1000);
  }

  #write(value: Integer, base: 1000 | 1024): string {
    return this.#isExact ? String(value) : shortText(Number(value), base);
  }
}

/** Three digits that count: `999`, `1.64Ki`, `12.3M`. */
export function shortText(value: number, base: 1000 | 1024): string {
  const sign = value < 0 ? "-" : "";
  let rest = Math.abs(value);
  let unit = 0;
  // Rounded first, so that 999.6k is 1.00M and never 1000k.
  while (Number(digits(rest, unit)) >= (base === 1024 ? 1000 : base) && unit < 6) {
    rest /= base;
    unit++;
  }
  return `${sign}${digits(rest, unit)}${UNITS[base][unit]}`;
}

function digits(value: number, unit: number): string {
  if (unit === 0) {
    return Number.isInteger(value) || value >= 100 ? value.toFixed(0) : trimmed(value);
  }
  const places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return value.toFixed(places);
}

function trimmed(value: number): string {
  if (value < 0.05) return "<0.1";
  return value.toFixed(value < 9.95 ? 1 : 0);
}

/** A share in percent, rounded down: what is not complete is never shown as 100 %. */
export function percentText(share: number): string {
  return `${Math.floor(share * 10_000 + 1e-9) / 100}%`;
}

/** Protocol in few letters. */
export function protoText(proto: Integer): string {
  return proto === 0n || proto === 0 ? "" : protoName(Number(proto));
}

/** An end of a connection: `10.0.0.1:443`, `[fd7a::1]:80`, `10.0.0.1`; "" = none. */
export function endText(address: string, port: Integer): string {
  if (Number(port) === 0) return address;
  return `${address.includes(":") ? `[${address}]` : address || "*"}:${port}`;
}

/** A span of ms: `850ms`, `4.2s`, `3m 20s`, `2h 5m`, `3d 4h`. */
export function spanText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${Math.floor(ms / 100) / 10}s`;
  const parts = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1_000, "s"]] as const;
  const first = parts.findIndex(([length]) => ms >= length);
  const [[major, unit], minor] = [parts[first], parts[first + 1]];
  const rest = Math.floor((ms % major) / minor[0]);
  return `${Math.floor(ms / major)}${unit}${rest === 0 ? "" : ` ${rest}${minor[1]}`}`;
}

/** Writes times of a table: without the day where all lie on one, and without the year where all lie in one. */
export class TimeWriter {
  readonly zone: ZoneOffset;
  #day: string | null = null;
  #hasDays = false;
  #hasYears = false;

  constructor(zone: ZoneOffset) {
    this.zone = zone;
  }

  /** Day, time and zone. */
  whole(text: string): string {
    const ns = parseTime(text);
    return ns === null ? text : localTimeText(BigInt(endMsOf(ns)) * NS_PER_MS, this.zone);
  }

  /** Looks at times that are to be written; what lies on several days is written with them. */
  look(texts: readonly string[]): void {
    for (const text of texts) {
      const day = this.whole(text).slice(0, 10);
      this.#day ??= day;
      this.#hasDays ||= day !== this.#day;
      this.#hasYears ||= day.slice(0, 4) !== this.#day.slice(0, 4);
    }
  }

  /** Time, with its day if it must be. */
  short(text: string): string {
    const whole = this.whole(text);
    const [day, time = ""] = whole.split(" ");
    if (time === "") return whole;
    const bare = time.replace(/(?:Z|[+-]\d\d:\d\d)$/, "");
    if (!this.#hasDays && day === this.#day) return bare;
    const isOtherYear = this.#hasYears || day.slice(0, 4) !== this.#day?.slice(0, 4);
    return `${isOtherYear ? day : day.slice(5)} ${bare}`;
  }
}

/** End of a window in Unix ms: it is 1 ns before the next, so that it is rounded up, as in the store. */
export function endMsOf(ns: bigint): number {
  const ms = msOfNs(ns);
  return BigInt(ms) * NS_PER_MS === ns ? ms : ms + 1;
}
