/**
 * Who is measured in benchmarks of tunnels: ours on Deno, on Bun and as the single binary, Debian's wireguard-go, and
 * the wire without a tunnel.
 *
 * In: a lab and a name. Out: both ends, standing and ready for traffic.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Child, mustSync } from "../../system/support/command.ts";
import type { Lab, Namespace } from "../../system/support/namespaces.ts";
import {
  INNER,
  makeWire,
  OUTER,
  pairConfig,
  type PairOptions,
  type Side,
} from "../../system/support/pairs.ts";
import { OWN_RUNTIME, ROOT } from "../../system/support/runtimes.ts";
import { iperf, startIperfServer, waitForPing } from "../../system/support/traffic.ts";
import {
  type Implementation,
  type KeyPair,
  makeKeyPair,
  renderConfig,
  startTunnel,
  type TunnelConfig,
  writeConfig,
} from "../../system/support/tunnels.ts";

/** What is measured; `direct` is no tunnel at all, `binary` what `deno task build` makes. */
export type Contender = Implementation | "binary" | "direct";

/** All of them. */
export const CONTENDERS: readonly Contender[] = [
  ...["direct", "wireguard-go", "deno", "bun", "binary"] as const,
];

/** Whom the others are compared with. */
export const BASE: Contender = "wireguard-go";

/** One end of a tunnel. */
export interface End {
  readonly namespace: Namespace;
  /** Interface of the tunnel, or of the wire. */
  readonly device: string;
  /** Process that carries packets; null = the kernel does. */
  readonly pid: number | null;
}

/** A tunnel that stands ready to be measured; traffic goes from `left` to `address`, where iperf3 serves. */
export interface Ready {
  readonly left: End;
  readonly right: End;
  readonly address: string;
  /** iperf3's. */
  readonly server: Child;
}

/** Both ends, before anything is served. */
type Ends = Omit<Ready, "server">;

/** Port of udp_load's receiver, none of the tunnels'. */
export const LOAD_PORT = 5_999;

const BINARY_PATH = join(ROOT, "dist/tunlog");

/** Builds the binary anew, so that what is measured is what stands in the sources. */
export function buildBinary(): void {
  const deno = OWN_RUNTIME === "deno" ? process.execPath : "deno";
  mustSync([deno, "task", "build"], { cwd: ROOT, timeoutMs: 300_000 });
  if (!existsSync(BINARY_PATH)) throw new Error(`Cannot find ${BINARY_PATH} after building it`);
}

/**
 * Sets up both ends and an iperf3 server, and lets one TCP stream through for a second, so that no measure meets code
 * that has never run.
 */
export async function startContender(
  lab: Lab,
  contender: Contender,
  options: Pick<PairOptions, "config"> & { readonly wire?: Record<Side, Namespace> } = {},
): Promise<Ready> {
  const wire = options.wire ?? makeWire(lab);
  const ends: Ends = contender === "direct"
    ? { left: wireEnd(wire.left), right: wireEnd(wire.right), address: OUTER.right[4] }
    : await startTunnels(contender, wire, options);
  await waitForPing(wire.left, ends.address);
  const server = await startIperfServer(wire.right, ends.address);
  await iperf(wire.left, ends.address, { seconds: 1 });
  return { ...ends, server };
}

/** The wire's interface is the first of its namespace. */
function wireEnd(namespace: Namespace): End {
  return { namespace, device: "link0", pid: null };
}

async function startTunnels(
  contender: Exclude<Contender, "direct">,
  wire: Record<Side, Namespace>,
  { config }: Pick<PairOptions, "config">,
): Promise<Ends> {
  const keys: Record<Side, KeyPair> = { left: makeKeyPair(), right: makeKeyPair() };
  const kind: Implementation = contender === "binary" ? "bun" : contender;
  const pair: PairOptions = {
    left: kind,
    right: kind,
    ...(config === undefined ? {} : { config }),
  };
  const start = async (side: Side): Promise<End> => {
    const own = pairConfig(side, keys, pair);
    if (contender === "binary") return await startBinary(wire[side], own);
    const { name, process: child } = await startTunnel(kind, wire[side], own);
    return { namespace: wire[side], device: name, pid: child.pid };
  };
  const [left, right] = await Promise.all([start("left"), start("right")]);
  return { left, right, address: INNER.right[4] };
}

async function startBinary(namespace: Namespace, config: TunnelConfig): Promise<End> {
  const device = namespace.lab.interfaceName();
  const path = writeConfig(namespace, device, renderConfig(config));
  const child = namespace.spawn([BINARY_PATH, "up", path], { cwd: ROOT });
  await child.waitForOutput(new RegExp(`tunlog: ${device} is up`));
  return { namespace, device, pid: child.pid };
}
