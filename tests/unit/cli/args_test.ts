// Goal: whatever is wrong with a command line is said in our words, exit 2, and nothing runs. Method: a small command.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCommandArgs, runCommand, UsageError } from "../../../src/cli/args.ts";
import { type Command, wantsColor } from "../../../src/cli/io.ts";
import { COMMANDS, type CommandSpec, usageLine } from "../../../src/cli/commands.ts";
import { ConfigError, ERRNO, SystemCallError } from "../../../src/errors.ts";
import { commandHelp, configHelp, generalHelp, run as runHelp } from "../../../src/cli/help.ts";
import { INTERFACE_KEYS, PEER_KEYS, TIMER_KEYS } from "../../../src/node/config_keys.ts";
import { run as runDown } from "../../../src/cli/down.ts";
import { run as runReload } from "../../../src/cli/reload.ts";
import { run as runStatus } from "../../../src/cli/status.ts";
import { FakeIo } from "./support.ts";

const SPEC = {
  name: "test",
  summary: "Tests",
  positionals: ["FILE", "[MORE]"],
  options: {
    json: { type: "boolean", help: "Prints JSON" },
    name: { type: "string", short: "n", placeholder: "TEXT", help: "Names it" },
    help: { type: "boolean", short: "h", help: "Prints this" },
  },
  notes: ["A note."],
} as const satisfies CommandSpec;

test("parseCommandArgs() reads options and arguments in any order", () => {
  assert.deepEqual(parseCommandArgs(SPEC, ["a", "--json", "-n", "x", "b"]), {
    values: { json: true, name: "x", help: false },
    positionals: ["a", "b"],
  });
  assert.deepEqual(parseCommandArgs(SPEC, ["a"]).values, {
    json: false,
    name: undefined,
    help: false,
  });
  assert.equal(parseCommandArgs(SPEC, ["a", "--name=--json"]).values.name, "--json");
  assert.deepEqual(parseCommandArgs(SPEC, ["--", "--json"]).positionals, ["--json"]);
});

test("parseCommandArgs() takes times before now for values, and any number of last words", () => {
  assert.equal(parseCommandArgs(SPEC, ["a", "--name", "-1h"]).values.name, "-1h");
  assert.equal(parseCommandArgs(SPEC, ["a", "--name", "-"]).values.name, "-");
  assert.throws(() => parseCommandArgs(SPEC, ["a", "--name", "-x"]), UsageError);
  const open = { ...SPEC, positionals: ["FILE", "[WORD...]"] };
  assert.deepEqual(parseCommandArgs(open, ["a", "b", "c", "d"]).positionals, ["a", "b", "c", "d"]);
  assert.deepEqual(parseCommandArgs(open, ["a"]).positionals, ["a"]);
  assert.throws(() => parseCommandArgs(open, []), UsageError);
});

test("parseCommandArgs() says what is wrong in our own words", () => {
  const wrong: readonly (readonly [args: readonly string[], said: string])[] = [
    [[], "Argument FILE is missing"],
    [["a", "b", "c"], 'Argument "c" is one too many'],
    [["a", "--jsn"], 'Option "--jsn" is not known: "--json" is probably meant'],
    [["a", "--wholly"], 'Option "--wholly" is not known'],
    [["a", "-x"], 'Option "-x" is not known'],
    [["a", "--json=yes"], 'Option "--json" takes no value'],
    [["a", "--json", "--json"], 'Option "--json" is given twice'],
    [["a", "--name"], 'Option "--name" needs a value'],
    [["a", "--name="], 'Option "--name" needs a value'],
    [["a", "--name", "--json"], 'Option "--name" needs a value'],
    [["a", "--toString"], 'Option "--toString" is not known'],
    [["a", "--__proto__"], 'Option "--__proto__" is not known'],
  ];
  for (const [args, said] of wrong) {
    assert.throws(
      () => parseCommandArgs(SPEC, args),
      (error) => error instanceof UsageError && error.message === said,
      said,
    );
  }
});

test("runCommand() turns errors into one message and an exit code", async () => {
  const run = async (args: string[], body: () => number): Promise<[number, string, string]> => {
    const io = new FakeIo();
    const code = await runCommand(SPEC, args, io, body);
    return [code, io.out, io.err];
  };
  const fails = (error: Error) =>
    run(["a"], () => {
      throw error;
    });
  assert.deepEqual(await run(["a"], () => 0), [0, "", ""]);
  assert.deepEqual(await run([], () => assert.fail("ran")), [
    2,
    "",
    "tunlog: Argument FILE is missing\nUsage: tunlog test [OPTIONS] FILE [MORE]\n" +
    '"tunlog help test" says more\n',
  ]);
  assert.deepEqual(await run(["--help"], () => assert.fail("ran")), [0, commandHelp(SPEC), ""]);
  assert.deepEqual(await fails(new ConfigError("a\nb")), [2, "", "tunlog: a\ntunlog: b\n"]);
  assert.deepEqual(await fails(new SystemCallError("do it", ERRNO.EPERM, "be root")), [
    1,
    "",
    "tunlog: Cannot do it: errno is 1 (EPERM): be root\n",
  ]);
  assert.deepEqual(await fails(new Error("x")), [1, "", "tunlog: x\n"]);
});

test("down, reload and status refuse a bad command line before they do anything", async () => {
  const wrong: readonly (readonly [Command, readonly string[]])[] = [
    [runDown, []],
    [runDown, ["a/b"]],
    [runDown, ["wg0", "wg1"]],
    [runReload, ["wg0", "--json"]],
    [runStatus, ["--jsn"]],
    [runStatus, ["../x"]],
  ];
  for (const [run, args] of wrong) {
    const io = new FakeIo();
    assert.equal(await run(args, io), 2, args.join(" "));
    assert.match(io.err, /^tunlog: /);
    assert.equal(io.out, "");
  }
});

test("status and down say that no node runs there", async () => {
  for (const run of [runStatus, runDown, runReload]) {
    const io = new FakeIo();
    assert.equal(await run(["tl-none-9"], io), 1);
    assert.match(
      io.err,
      /^tunlog: Cannot reach the node of interface "tl-none-9": errno is 2 \(ENOENT\): no tunlog node/,
    );
  }
});

test("commandHelp() shows every option and note", () => {
  assert.equal(
    commandHelp(SPEC),
    `Usage: tunlog test [OPTIONS] FILE [MORE]

Tests.

A note.

Options:
  --json           Prints JSON
  -n, --name TEXT  Names it
  -h, --help       Prints this
`,
  );
});

test("generalHelp() and configHelp() hold all that the tables hold", () => {
  for (const spec of Object.values(COMMANDS)) {
    assert.ok(generalHelp().includes(spec.summary), spec.name);
    assert.ok(commandHelp(spec).startsWith(`Usage: ${usageLine(spec)}\n`));
  }
  for (const key of Object.values({ ...INTERFACE_KEYS, ...PEER_KEYS, ...TIMER_KEYS })) {
    assert.ok(configHelp().includes(`  ${key.name} `), key.name);
    assert.ok(configHelp().includes(key.form), key.name);
  }
});

test("help explains a command, the configuration or all, and knows a slip", async () => {
  const help = async (...args: string[]) => {
    const io = new FakeIo();
    return [await runHelp(args, io), io.out, io.err];
  };
  assert.deepEqual(await help(), [0, generalHelp(), ""]);
  assert.deepEqual(await help("--help"), [0, generalHelp(), ""]);
  assert.deepEqual(await help("status"), [0, commandHelp(COMMANDS.status), ""]);
  assert.deepEqual(await help("config"), [0, configHelp(), ""]);
  assert.deepEqual(await help("stats"), [
    2,
    "",
    'tunlog: Command "stats" is not known: "status" is probably meant\n',
  ]);
  assert.equal((await help("constructor"))[0], 2);
});

test("wantsColor() wants a terminal that shows colours, and no NO_COLOR", () => {
  const color = (isTerminal: boolean, env: Record<string, string> = {}) =>
    wantsColor(new FakeIo({ isTerminal, env }));
  assert.ok(color(true));
  assert.ok(color(true, { NO_COLOR: "" }));
  assert.ok(!color(false));
  assert.ok(!color(true, { NO_COLOR: "1" }));
  assert.ok(!color(true, { TERM: "dumb" }));
});
