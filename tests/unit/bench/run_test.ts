/** Goal: no benchmark is forgotten, and none is named that is not there. Method: the folder against the list. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BENCHMARKS, chosenCommands } from "../../bench/run.ts";

const FOLDER = fileURLToPath(new URL("../../bench/", import.meta.url));

test("run.ts runs every benchmark of the folder, and no other", () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith("_bench.ts"));
  const named = BENCHMARKS.map(({ command }) =>
    command.find((word) => word.endsWith("_bench.ts"))!.replace("tests/bench/", "")
  );
  const why = "BENCHMARKS in tests/bench/run.ts must name each file of tests/bench";
  assert.deepEqual([...new Set(named)].sort(), files.sort(), why);
});

test("chosenCommands() takes all without a word, and those that hold one", () => {
  assert.equal(chosenCommands([]).length, BENCHMARKS.length);
  const lines = chosenCommands(["flow_log_cost", "offload_bench.ts"]).map((argv) => argv.join(" "));
  assert.equal(lines.length, 3);
  assert.ok(lines.every((line) => /flow_log_cost|offload_bench/.test(line)));
  assert.deepEqual(chosenCommands(["no such thing"]), []);
});

test("chosenCommands() puts the short arguments behind with --quick", () => {
  const [argv] = chosenCommands(["--quick", "tunnel_bench"]);
  assert.equal(argv!.at(-1), "--quick");
  assert.notEqual(chosenCommands(["tunnel_bench"])[0]!.at(-1), "--quick");
});
