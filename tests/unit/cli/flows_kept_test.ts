// Goal: what is no longer kept is said in every form of output, and no row of zeros stands there. Method: a store whose windows
// retention has removed, asked through the command.
import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "../../../src/cli/flows.ts";
import { makeBatch } from "../../support/store_batches.ts";
import { HOUR_MS, message, MINUTE_MS, Scene, START_MS } from "../collector/store_support.ts";
import { FakeIo } from "./support.ts";

const RANGE = ["--from", "2026-01-05T10:00:00Z", "--to", "2026-01-05T10:02:00Z"];
const GONE = "Single windows up to 2026-01-05T10:01:00Z are no longer kept";
const LAST = "no longer kept up to 2026-01-05 10:01:00Z";

test("flows says what is no longer kept: in tables, JSON and CSV", async () => {
  const scene = new Scene();
  try {
    const stream = scene.adopted("a");
    scene.store.commit(
      makeBatch(scene.store, START_MS, [message(stream, 1, START_MS + MINUTE_MS)]),
    );
    scene.settle(START_MS + 2 * HOUR_MS);
    scene.settle(START_MS + 8 * 24 * HOUR_MS);
    scene.store.close();
    renameSync(scene.path, join(scene.folder, "store.db"));
    const flows = async (...args: string[]) => {
      const io = new FakeIo({ columns: 200 });
      const code = await run([...args, ...RANGE, "--utc", "--data", scene.folder], io);
      assert.equal(code, 0, io.err);
      return { out: io.out, err: io.err };
    };
    const query = await flows("query");
    assert.ok(query.out.includes(`${GONE}: sums of that time can be asked for`), query.out);
    assert.ok(query.out.includes(LAST), query.out);
    const csv = await flows("query", "--csv");
    assert.ok(csv.err.includes(LAST), csv.err);
    const json = JSON.parse((await flows("query", "--json")).out.trim().split("\n").at(-1)!);
    assert.equal(json.notes.length, 1);
    assert.equal(json.completeness.keptFrom, "2026-01-05T10:01:00Z");
    const { err } = await flows("export");
    assert.ok(err.includes(LAST), err);
    const top = await flows("top", "--by", "dst");
    assert.ok(top.out.includes(`${GONE}: read from sums of minutes instead`), top.out);
    assert.ok(top.out.includes("100.64.0.2") && !top.out.includes(LAST), top.out);
    const series = await flows("series", "--step", "30s", "--json");
    assert.ok(series.out.includes("null") && !/"txBytes":\s*0/.test(series.out), series.out);
  } finally {
    scene.end();
  }
});
