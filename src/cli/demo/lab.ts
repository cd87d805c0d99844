/**
 * The demo's network namespaces, with all that runs in them: made, and removed without a trace.
 *
 * In: topology.ts's plan. Out: places in which children run. All names carry the process id, so that demos do not meet.
 * Guarantees: close() removes all that open() made, however far it came; what a killed demo left is removed by
 * sweepDeadLabs(). The folder is made first and removed last: as long as something is left, it says so.
 */
import { accessSync, constants, mkdirSync, readdirSync, rmSync } from "node:fs";
import process from "node:process";
import { CONTROL_DIRECTORY, UAPI_DIRECTORY } from "../../node/mod.ts";
import { readTextNative } from "../../platform/mod.ts";
import { type Child, type ChildOptions, run, start, tryKill } from "./process.ts";
import { NODES, type Place, PLACES, WIRE_PLAN } from "./topology.ts";

const RUN_DIRECTORY = "/var/run";
const NAME = "tunlog-demo";

/** How long children may take to end by themselves: a node removes its interface, routes and rules. */
const END_MS_MAX = 5_000;

/** What a child of a lab is started with. */
export interface LabChildOptions extends ChildOptions {
  /** Whether the others need it to end in order. */
  readonly endsLast?: boolean;
}

/** See file header. */
export class Lab {
  /** For configuration files and state; only its owner may look inside. */
  readonly directory: string;
  readonly #children: Child[] = [];
  readonly #lastChildren: Child[] = [];

  constructor(readonly processId: number = process.pid) {
    this.directory = `${RUN_DIRECTORY}/${NAME}-${processId}`;
  }

  /** Makes the namespaces and the links between them. @throws {Error} If something cannot be made; close() then. */
  async open(): Promise<void> {
    mkdirSync(this.directory, { mode: 0o700 });
    await all(PLACES.map((place) => run(["ip", "netns", "add", this.#namespaceOf(place)])));
    const links = WIRE_PLAN.links.map(([a, nameA, b, nameB]) =>
      `link add ${nameA} netns ${this.#namespaceOf(a)} type veth ` +
      `peer name ${nameB} netns ${this.#namespaceOf(b)}\n`
    );
    await run(["ip", "-batch", "-"], links.join(""));
    await all(PLACES.map(async (place) => {
      // A server may be there before its node has brought the address.
      await this.#setKernel(place, "ip_nonlocal_bind");
      if (WIRE_PLAN.routers.includes(place)) await this.#setKernel(place, "ip_forward");
      const lines = WIRE_PLAN.lines[place].map((line) => `${line}\n`).join("");
      await run(["ip", "-netns", this.#namespaceOf(place), "-batch", "-"], lines);
    }));
  }

  /** Name of a node's interface. */
  interfaceOf(place: Place): string {
    return `${place}-${this.processId}`;
  }

  /** Starts a child in a namespace. `ip netns exec` replaces itself: the child's pid is the command's. */
  spawn(place: Place, argv: readonly string[], options: LabChildOptions = {}): Child {
    const child = start([...this.#inside(place), ...argv], options);
    (options.endsLast ? this.#lastChildren : this.#children).push(child);
    return child;
  }

  /** Ends all children and removes everything. @returns What could not be removed, as sentences. */
  async close(): Promise<string[]> {
    await endChildren(this.#children);
    await endChildren(this.#lastChildren);
    return await removeLab(this.processId);
  }

  #namespaceOf(place: Place): string {
    return `${NAME}-${this.processId}-${place}`;
  }

  #inside(place: Place): string[] {
    return ["ip", "netns", "exec", this.#namespaceOf(place)];
  }

  async #setKernel(place: Place, name: string): Promise<void> {
    const command = `echo 1 > /proc/sys/net/ipv4/${name}`;
    await run([...this.#inside(place), "sh", "-c", command]);
  }
}

/** Removes what demos left that were killed. @returns Their process ids. */
export async function sweepDeadLabs(): Promise<number[]> {
  const dead = readdirSync(RUN_DIRECTORY).flatMap((name) => {
    const owner = /^tunlog-demo-(\d+)$/.exec(name);
    return owner === null || isDemo(Number(owner[1])) ? [] : [Number(owner[1])];
  });
  for (const processId of dead) await removeLab(processId);
  return dead;
}

/** Whether a process is a demo: another may have got its number. */
function isDemo(processId: number): boolean {
  try {
    return readTextNative(`/proc/${processId}/cmdline`).split("\0").includes("demo");
  } catch {
    return false;
  }
}

/** Whether a command is on PATH. */
export function hasCommand(name: string): boolean {
  return (process.env.PATH ?? "").split(":").some((directory) => {
    try {
      accessSync(`${directory}/${name}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Waits for all, even when one fails: what is still under way must not go on behind close(). */
async function all(works: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

async function endChildren(children: readonly Child[]): Promise<void> {
  for (const child of children) child.signal("SIGTERM");
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, END_MS_MAX));
  await Promise.race([Promise.all(children.map(({ ended }) => ended)), late]);
  clearTimeout(timer);
  for (const child of children) child.signal("SIGKILL");
}

/** Removes all that carries the number of a demo. @returns What went wrong. */
async function removeLab(processId: number): Promise<string[]> {
  const problems: string[] = [];
  const attempt = async (work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
  };
  const prefix = `${NAME}-${processId}-`;
  const namespaces = listOf(`${RUN_DIRECTORY}/netns`).filter((name) => name.startsWith(prefix));
  await Promise.all(namespaces.map((name) => attempt(() => deleteNamespace(name))));
  for (const directory of [CONTROL_DIRECTORY, UAPI_DIRECTORY]) {
    for (const file of listOf(directory)) {
      if (!NODES.some((node) => file.startsWith(`${node}-${processId}.`))) continue;
      await attempt(() => rmSync(`${directory}/${file}`, { force: true }));
    }
  }
  // With something left, it stays as the mark by which the next demo finds it.
  if (problems.length === 0) {
    const directory = `${RUN_DIRECTORY}/${NAME}-${processId}`;
    await attempt(() => rmSync(directory, { recursive: true, force: true }));
  }
  return problems;
}

/** Deletes a namespace and ends what runs in it: nothing but the demo's own children. */
async function deleteNamespace(name: string): Promise<void> {
  for (const pid of (await run(["ip", "netns", "pids", name])).split("\n")) {
    if (pid.trim() !== "") tryKill(Number(pid), "SIGKILL");
  }
  await run(["ip", "netns", "delete", name]);
}

function listOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    // Not made yet.
    return [];
  }
}
