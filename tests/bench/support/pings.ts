/**
 * Round-trip times. In: who pings whom. Out: the time of each answer, from ping's own lines.
 */
import type { Namespace } from "../../system/support/namespaces.ts";

/** What came back. */
export interface Pings {
  readonly sent: number;
  /** Microseconds, in the order of answers. */
  readonly timesUs: readonly number[];
}

/** Pings `count` times; an answer that takes longer than a second is none. */
export async function pingTimes(
  namespace: Namespace,
  address: string,
  { count, intervalMs }: { readonly count: number; readonly intervalMs: number },
): Promise<Pings> {
  const { stdout, stderr } = await namespace.run(
    ["ping", "-n", "-c", `${count}`, "-i", `${intervalMs / 1_000}`, "-W", "1", address],
    { timeoutMs: 30_000 + count * intervalMs },
  );
  return parsePings(`${stdout}${stderr}`);
}

/** Reads the output of ping without -q. @throws {Error} If it holds no counts. */
export function parsePings(text: string): Pings {
  const counts = /(\d+) packets transmitted/.exec(text);
  if (counts === null) throw new Error(`ping said nothing of use\n${text}`);
  const times = [...text.matchAll(/^\d+ bytes from .* time=([\d.]+) ms$/gm)];
  return { sent: Number(counts[1]), timesUs: times.map((match) => Number(match[1]) * 1_000) };
}
