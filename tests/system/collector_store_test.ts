/**
 * The store under what a machine does to it: killed at full speed 50 times, on both runtimes in turn; a disk that is full
 * or may only be read.
 */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { StoreError } from "../../src/collector/store.ts";
import { openSqliteReader, openSqliteWriter } from "../../src/collector/sqlite/mod.ts";
import { openZstd } from "../../src/platform/mod.ts";
import { makeBatch } from "../support/store_batches.ts";
import { message, ROW } from "../unit/collector/store_support.ts";

const CHILD = fileURLToPath(new URL("support/store_child.ts", import.meta.url));
const KILLS = 50;
const DENO = ["deno", "run", "-A", "--quiet", "--no-check", CHILD];
const BUN = ["bun", "--no-install", CHILD];

/** What is there of the runtimes: their own path is not on PATH where they came by npx. */
function commands(): string[][] {
  const own = "Deno" in globalThis ? 0 : 1;
  return [DENO, BUN].flatMap((command, index) => {
    if (index === own) return [[process.execPath, ...command.slice(1)]];
    const isThere = spawnSync(command[0], ["--version"]).status === 0;
    return isThere ? [command] : [];
  });
}

/** Lets a child commit until it has said `lines` lines, then kills it. @returns Last complete line. */
function killAfter(command: readonly string[], lines: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    child.stdout!.on("data", (chunk: Uint8Array) => {
      text += new TextDecoder().decode(chunk);
      // Not by time: wherever a commit is then.
      if (text.split("\n").length > lines) child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("close", (_code, signal) => {
      const complete = text.split("\n").slice(0, -1);
      if (signal !== "SIGKILL" || complete.length === 0) reject(new Error(`child said ${text}`));
      else resolve(complete.at(-1)!);
    });
  });
}

test("store: 50 kills under full load lose nothing that was acknowledged and double nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tunlog-kill-"));
  const path = join(folder, "flows.db");
  const runtimes = commands();
  const acknowledged: string[] = [];
  try {
    for (let round = 0; round < KILLS; round++) {
      const command = runtimes[round % runtimes.length];
      // From the first batch, where a store is made, to a minute's roll-up and beyond: 12 batches are a minute.
      const line = await killAfter([...command, "commit", path, String(round)], 1 + round * 7 % 17);
      acknowledged.push(line);
    }
    const [program, ...args] = runtimes[0];
    const { status, stdout, stderr } = spawnSync(program, [...args, "check", path], {
      input: acknowledged.join("\n"),
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^checked \d+ batches/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Mounts a small file system, if this process may. */
function mount(folder: string): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]).status === 0;
}

function codeOf(run: () => void): string {
  try {
    run();
    return "none";
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return error.code;
  }
}

test("store: a full disk and a read-only one are refused, and cost nothing that was there", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "tunlog-full-"));
  if (!mount(folder)) {
    rmSync(folder, { recursive: true });
    return t.skip("needs root");
  }
  const path = join(folder, "flows.db");
  const zstd = await openZstd();
  const reader = () => openSqliteReader(path);
  const rowsOf = (read: ReturnType<typeof reader>) => {
    let rows = 0;
    read.scan({ fromMs: 0, toMs: 9e15, tier: "minute" }, ({ columns, first, count }) => {
      for (let row = first; row < first + count; row++) rows += columns.counters[0][row];
    });
    read.close();
    return rows;
  };
  try {
    let store = openSqliteWriter(path, { zstd });
    const stream = store.adopt("c", "a".repeat(64), 1).number;
    const rows = Array.from({ length: 1_000 }, (_, n) => ({ ...ROW, srcPort: n * 7_919 % 65_536 }));
    let stored = 0;
    const commit = () => {
      store.commit(
        makeBatch(store, 60_000, [message(stream, stored + 1, 60_000 * (stored + 1), rows)]),
      );
      stored++;
    };
    let code = "none";
    for (let n = 0; n < 1_000 && code === "none"; n++) code = codeOf(commit);
    // The disk's end comes as "full", or, where it is met while a file grows, as an I/O error.
    assert.match(code, /^(full|other)$/);
    assert.ok(stored > 3, `${stored} stored`);
    assert.equal(rowsOf(reader()), stored * 1_000);
    codeOf(() => store.close());

    spawnSync("mount", ["-o", "remount,size=16m", folder]);
    store = openSqliteWriter(path, { zstd });
    commit();
    assert.equal(rowsOf(reader()), stored * 1_000);
    store.close();

    spawnSync("mount", ["-o", "remount,ro", folder]);
    assert.match(codeOf(() => openSqliteWriter(path, { zstd })), /^(readonly|other)$/);
    spawnSync("mount", ["-o", "remount,rw", folder]);
    store = openSqliteWriter(path, { zstd });
    commit();
    store.close();
    assert.equal(rowsOf(reader()), stored * 1_000);
  } finally {
    spawnSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true });
  }
});
