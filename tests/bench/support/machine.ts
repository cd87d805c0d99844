/**
 * On what a benchmark ran: numbers mean nothing without.
 *
 * In: the tools that take part. Out: facts for the head of a result. Also the right Bun, first on PATH.
 */
import { readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { runSync } from "../../system/support/command.ts";

/** Pinned beside Deno's version in README. */
const BUN_VERSION = "1.4.5";

/** Commands that say a tool's version. */
const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  bun: ["bun", "--version"],
  deno: ["deno", "--version"],
  gcc: ["gcc", "--version"],
  iperf3: ["iperf3", "--version"],
  "wireguard-go": ["wireguard-go", "--version"],
};

/** Facts about the machine by name, and the versions of `tools`. */
function machineFacts(...tools: (keyof typeof VERSIONS)[]): Record<string, string> {
  const facts: Record<string, string> = {
    cpu: `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} cores`,
    kernel: release(),
    "load at start": loadText(),
  };
  for (const tool of tools) {
    const command = tool === "deno" && "Deno" in globalThis
      ? [process.execPath, "--version"]
      : VERSIONS[tool]!;
    facts[tool] = runSync(command).stdout.trim().split("\n")[0] ?? "";
  }
  return facts;
}

/** Load averages of 1, 5 and 15 minutes. Where others work, only ratios of one round say something. */
export function loadText(): string {
  return readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
}

/** Prints on what is measured, one fact a line, and how often. @returns The facts. */
export function announce(
  tools: readonly (keyof typeof VERSIONS)[],
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Record<string, string> {
  const facts = machineFacts(...tools);
  for (const [name, value] of Object.entries(facts)) console.log(`${name}: ${value}`);
  console.log(`${rounds} rounds of ${seconds} s, order flipped each round\n`);
  return facts;
}

/**
 * Sees to it that `bun` is the pinned version for all children: that on PATH, else npm's.
 * @throws {Error} If npm has none.
 */
export function putBunOnPath(): void {
  const output = (argv: readonly string[]): string => {
    const { code, stdout } = runSync(argv);
    return code === 0 ? stdout.trim() : "";
  };
  if (output(["sh", "-c", "bun --version 2>/dev/null"]) === BUN_VERSION) return;
  const path = output(["npx", "-y", "-p", `bun@${BUN_VERSION}`, "-c", "command -v bun"]);
  if (path === "") throw new Error(`Cannot get bun@${BUN_VERSION} from npm`);
  process.env.PATH = `${dirname(path)}:${process.env.PATH}`;
}
