/** `tunlog collect` up to where it would listen: options, keys, adoption in a store that nobody serves. */
import { after, test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseCommandArgs, UsageError } from "../../../src/cli/args.ts";
import { collectorSettingsOf, run } from "../../../src/cli/collect.ts";
import { COMMANDS } from "../../../src/cli/commands.ts";
import { openSqliteReader, openSqliteWriter } from "../../../src/collector/mod.ts";
import { openZstd } from "../../../src/platform/mod.ts";
import { FakeIo } from "./support.ts";

const directory = mkdtempSync(join(tmpdir(), "tunlog-collect-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const PUBLIC = "ab".repeat(32);

const settingsOf = (...args: string[]) =>
  collectorSettingsOf(parseCommandArgs(COMMANDS.collect, args).values);

async function collect(...args: string[]): Promise<{ code: number; io: FakeIo }> {
  const io = new FakeIo();
  return { code: await run([...args, "--data", directory], io), io };
}

test("collect: defaults are loopback, the usual directory, and names by first use", () => {
  const day = 86_400_000;
  assert.deepEqual(settingsOf(), {
    ...{ directory: "/var/lib/tunlog/collector", host: "127.0.0.1", port: 8080, tls: null },
    kept: { rawMs: 7 * day, minutesMs: 30 * day, hoursMs: 400 * day, bytesMax: 16 * 2 ** 30 },
    ...{ bodyBytesMax: 2 ** 20, adoptAll: false, openCollections: true, adopted: [] },
  });
});

test("collect: every option is taken, days with and without their letter", () => {
  const day = 86_400_000;
  assert.deepEqual(
    settingsOf(
      ...["--listen", "[::]:0", "--data", "/srv/x/", "--retention-raw", "1d", "--adopt-all"],
      ...["--retention-minutes", "2", "--retention-hours=3d", "--size-max", "1G", "--closed"],
      ...["--body-max", "64K", "--tls-cert", "c.pem", "--tls-key", "k.pem"],
    ),
    {
      ...{ directory: "/srv/x", host: "::", port: 0 },
      tls: { certPath: "c.pem", keyPath: "k.pem" },
      kept: { rawMs: day, minutesMs: 2 * day, hoursMs: 3 * day, bytesMax: 2 ** 30 },
      ...{ bodyBytesMax: 65_536, adoptAll: true, openCollections: false, adopted: [] },
    },
  );
});

test("collect: what an option cannot be is said with its form", () => {
  for (
    const args of [
      ["--listen", "localhost:80"],
      ["--listen", "127.0.0.1"],
      ["--listen", "127.0.0.1:65536"],
      ["--retention-raw", "0"],
      ["--retention-raw", "1w"],
      ["--size-max", "63M"],
      ["--body-max", "63K"],
      ["--body-max", "17M"],
    ]
  ) {
    assert.throws(() => settingsOf(...args), (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, new RegExp(`^Option "${args[0]}" must be `));
      return true;
    });
  }
  assert.equal(settingsOf("--body-max", "16M").bodyBytesMax, 16 * 2 ** 20);
  assert.throws(() => settingsOf("--tls-cert", "c.pem"), /belong together/);
});

test("collect: actions that are not known, or lack something, are used wrongly", async () => {
  for (
    const args of [
      ["paint"],
      ["key"],
      ["key", "add"],
      ["key", "paint", "x"],
      ["key", "list", "x"],
      ["adopt"],
      ["adopt", "abc"],
      ["adopt", PUBLIC, "x"],
      ["adopt", PUBLIC, "--collection", "a b"],
      ["adopt", PUBLIC, "--listen", "127.0.0.1:1"],
      ["key", "list", "--adopt-all"],
      ["key", "list", "--collection", "x"],
      ["--collection", "x"],
    ]
  ) {
    const { code, io } = await collect(...args);
    assert.equal(code, 2, args.join(" "));
    assert.match(io.err, /^tunlog: [^]*Usage: tunlog collect/);
  }
});

test("collect key: a key is printed once, listed by name, and taken back", async () => {
  const added = await collect("key", "add", "grafana");
  assert.equal(added.code, 0);
  assert.match(added.io.out, /^tunlog-[\w-]{43}\n$/);
  assert.equal(statSync(`${directory}/keys.json`).mode & 0o777, 0o600);
  const listed = await collect("key", "list");
  assert.match(listed.io.out, /^\d{4}-\S+Z {2}grafana\n$/);
  assert.equal((await collect("key", "add", "grafana")).code, 1);
  assert.equal((await collect("key", "remove", "grafana")).code, 0);
  const again = await collect("key", "remove", "grafana");
  assert.deepEqual([again.code, again.io.err], [1, 'tunlog: There is no key "grafana"\n']);
  assert.equal((await collect("key", "list")).io.out, "");
});

test("collect adopt: without a collector it is done in the store; where seen, else in the nodes' default", async () => {
  const none = await collect("adopt", PUBLIC);
  assert.deepEqual([none.code, none.io.out], [1, ""]);
  const path = `${directory}/store.db`;
  const zstd = await openZstd();
  const store = openSqliteWriter(path, { zstd });
  store.stream("seen", PUBLIC, 1);
  store.adopt("seen", PUBLIC, null);
  store.close();
  assert.equal((await collect("adopt", PUBLIC)).io.out, `adopted ${PUBLIC} in seen\n`);
  const other = "cd".repeat(32);
  assert.equal((await collect("adopt", other)).io.out, `adopted ${other} in tunlog\n`);
  const named = await collect("adopt", other.toUpperCase(), "--collection", "x.y");
  assert.equal(named.io.out, `adopted ${other} in x.y\n`);
  const reader = openSqliteReader(path);
  const adopted = reader.streams().filter((stream) => stream.adoptedMs !== null);
  assert.deepEqual(adopted.map(({ collection }) => collection), ["seen", "tunlog", "x.y"]);
  reader.close();
});
