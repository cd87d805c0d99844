/** How tests encode windows: one view of rows, one window. */
import {
  Classifier,
  type EncodedMessage,
  type ExitMode,
  type ExitPolicy,
  NO_NODES,
  type NodeSource,
  OverlayRanges,
  type RouteConfig,
  RouteTable,
  WindowEncoder,
} from "../../../src/netlog/mod.ts";
import { type Counted, routeConfig, SECRET, standInPrf } from "./support.ts";

/** Labels of every window. */
export const WINDOW = { startNs: 1_665_692_589_644_000_000n, endNs: 1_665_692_594_000_000_000n };
/** Of exit mode `keyed`. */
export const PRF = standInPrf(7);

/** The policy of a mode. */
export function policyOf(mode: ExitMode): ExitPolicy {
  return mode === "keyed" ? { mode, prf: PRF } : { mode };
}

/** What rows are seen by; what is left out is empty. */
export interface View {
  readonly config?: RouteConfig;
  readonly overlay?: OverlayRanges;
  readonly nodes?: NodeSource;
  readonly lengthMs?: number;
}

/** Adds rows and encodes them. */
export function encodeWith(
  encoder: WindowEncoder,
  rows: readonly Counted[],
  view: View,
): EncodedMessage[] {
  for (const each of rows) encoder.add(each, each.isPhysical);
  const { config = routeConfig([], []), overlay = new OverlayRanges(), nodes = NO_NODES } = view;
  const classifier = new Classifier([new RouteTable(config)], overlay);
  const window = view.lengthMs === undefined ? WINDOW : { ...WINDOW, lengthMs: view.lengthMs };
  return encoder.encode({ classifier, nodes, window });
}

/** Encodes rows by themselves. */
export function encode(
  mode: ExitMode,
  rows: readonly Counted[],
  view: View = {},
  policy: ExitPolicy = policyOf(mode),
): EncodedMessage[] {
  return encodeWith(new WindowEncoder(SECRET, policy), rows, view);
}

/** A message as text, which must be UTF-8. */
export function textOf({ bytes }: EncodedMessage): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}
