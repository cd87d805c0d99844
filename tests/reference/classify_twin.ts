/** The rule of classes as SPEC 5 says it, with the mends that src/netlog/routes.ts names, over lists. */
import { addressBits, type Family, type Prefix } from "../../src/packet/mod.ts";
import type { RouteConfig } from "../../src/netlog/mod.ts";
import type { ClassName } from "../../src/counters.ts";
import { addressNumber, holds } from "./prefix_twin.ts";

/** One end of a connection; null = no address. */
export type End = { readonly family: Family; readonly addressWords: Uint32Array } | null;

/** Overlay addresses are Tailscale's: CGNAT but for ChromeOS's range, and the ULA; IPv4-mapped ones as IPv4. */
export function isOverlay({ family, addressWords }: NonNullable<End>): boolean {
  const number = addressNumber(family, addressWords);
  if (family === 6 && number >> 32n !== 0xffffn) return number >> 80n === 0xfd7a115ca1e0n;
  const v4 = number & 0xffffffffn;
  return v4 >> 22n === 0x64400000n >> 22n && v4 >> 9n !== 0x64735c00n >> 9n;
}

function isHalf(prefix: Prefix, family: Family, side: bigint): boolean {
  const top = BigInt(addressBits(family) - 1);
  return prefix.family === family && prefix.prefixBits === 1 &&
    addressNumber(family, prefix.addressWords) >> top === side;
}

function splitsDefault(prefixes: readonly Prefix[], family: Family): boolean {
  return [0n, 1n].every((side) => prefixes.some((prefix) => isHalf(prefix, family, side)));
}

function isExplained(config: RouteConfig, end: NonNullable<End>): boolean {
  const number = addressNumber(end.family, end.addressWords);
  const lists = [config.routes.map(({ prefix }) => prefix), config.subnetRoutes];
  const split = lists.some((list) => splitsDefault(list, end.family));
  return config.localAddresses.some((prefix) =>
    prefix.prefixBits === addressBits(prefix.family) && holds(prefix, end.family, number)
  ) || lists.flat().some((prefix) =>
    prefix.prefixBits > (split && !isOverlay(end) ? 1 : 0) && holds(prefix, end.family, number)
  );
}

function hasDefault(config: RouteConfig, family: Family): boolean {
  const lists = [config.routes.map(({ prefix }) => prefix), config.subnetRoutes];
  return lists.some((list) =>
    list.some((prefix) => prefix.family === family && prefix.prefixBits === 0) ||
    splitsDefault(list, family)
  );
}

/** Class of a connection under one version. */
export function classUnder(config: RouteConfig, src: End, dst: End): ClassName {
  const ends = [src, dst].filter((end) => end !== null);
  const explained = ends.filter((end) => isExplained(config, end));
  if (explained.length === 2 && explained.every(isOverlay)) return "virtual";
  if (explained.some((end) => !isOverlay(end))) return "subnet";
  const isExit = ends.some((end) => !isExplained(config, end) && hasDefault(config, end.family));
  return isExit ? "exit" : "unknown";
}

/** Class under several versions: the best that one of them gives. */
export function classUnderAny(configs: readonly RouteConfig[], src: End, dst: End): ClassName {
  const classes = configs.map((config) => classUnder(config, src, dst));
  return classes.find((name) => name === "virtual" || name === "subnet") ??
    (classes.includes("exit") ? "exit" : "unknown");
}
