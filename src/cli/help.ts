/** `tunlog help`: what there is, what a command takes, what a configuration file may hold. All from tables. */
import { nearest, SECTIONS, type SectionSpec } from "../node/mod.ts";
import type { FilterHelpRow } from "../collector/mod.ts";
import { FLOWS_COMMANDS, flowsCommandRows, isFlowsCommand } from "./flows/commands.ts";
import { type CommandName, COMMANDS, type CommandSpec, usageLine } from "./commands.ts";
import { type CommandIo, EXIT } from "./io.ts";

/** Help of the whole program. */
export function generalHelp(): string {
  const rows = Object.values<CommandSpec>(COMMANDS).map((spec): Row => [
    [spec.name, ...spec.positionals].join(" "),
    spec.summary,
  ]);
  return [
    "tunlog: a WireGuard-compatible tunnel that counts every connection",
    "",
    "Usage: tunlog COMMAND [OPTIONS] [ARGUMENTS]",
    "",
    "Commands:",
    ...table(rows),
    "",
    "Exit codes: 0 done, 1 failed, 2 used wrongly.",
    '"tunlog help COMMAND" says more about one, "tunlog help filter" about filters.',
    "",
  ].join("\n");
}

/** Help of one command. */
export function commandHelp(spec: CommandSpec): string {
  const rows = Object.entries(spec.options).map(([name, option]): Row => {
    const short = option.short === undefined ? "" : `-${option.short}, `;
    const value = option.type === "string" ? ` ${option.placeholder ?? "VALUE"}` : "";
    return [`${short}--${name}${value}`, option.help];
  });
  return [
    `Usage: ${usageLine(spec)}`,
    "",
    `${spec.summary}.`,
    ...(spec.notes.length > 0 ? ["", ...spec.notes] : []),
    "",
    "Options:",
    ...table(rows),
    "",
  ].join("\n");
}

/** Help of the questions to the flow log. */
export function flowsHelp(): string {
  return [commandHelp(COMMANDS.flows), "Questions:", ...table(flowsCommandRows()), ""].join("\n");
}

/** Help of the filter language. */
export function filterHelp(rows: readonly FilterHelpRow[]): string {
  return [
    "A filter says which connections are meant: of `tunlog flows`, of the API and of the page.",
    ...rows.flatMap(({ form, meaning, example }) => [
      "",
      form,
      `    ${meaning}`,
      `    ${example}`,
    ]),
    "",
  ].join("\n");
}

/** Help of the configuration file. */
export function configHelp(): string {
  return [
    "A configuration file is a wg-quick file: [Section] headers, Key = Value lines, # comments.",
    "A comment `# friendly_name = NAME` names the peer, or the node, that it stands in.",
    ...Object.values<SectionSpec>(SECTIONS).flatMap((section) => [
      "",
      `[${section.name}]: ${section.help}`,
      ...table(
        Object.values(section.keys).map((key): Row => [key.name, `${key.help}; ${key.form}`]),
      ),
    ]),
    "",
  ].join("\n");
}

/** Two columns. */
type Row = readonly [left: string, right: string];

function table(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length), 0);
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

/** Whether `name` is a command. */
export function isCommandName(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}

/** What to say to a word that is no command. */
export function unknownCommand(name: string): string {
  const likely = nearest(name, Object.keys(COMMANDS));
  const advice = likely === undefined
    ? '"tunlog help" lists them'
    : `"${likely}" is probably meant`;
  return `tunlog: Command "${name}" is not known: ${advice}\n`;
}

function flowsTopic(question: string | undefined): string {
  const isKnown = question !== undefined && isFlowsCommand(question);
  return isKnown ? commandHelp(FLOWS_COMMANDS[question]) : flowsHelp();
}

/** `tunlog help [COMMAND|config|filter]`. */
export async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const [topic, more] = args.filter((argument) => !argument.startsWith("-"));
  if (topic === undefined) io.stdout(generalHelp());
  else if (topic === "config") io.stdout(configHelp());
  else if (topic === "filter") {
    // Imported when it is asked for: all else of the help needs no database.
    io.stdout(filterHelp((await import("../collector/mod.ts")).FILTER_HELP));
  } else if (topic === "flows") io.stdout(flowsTopic(more));
  else if (isCommandName(topic)) io.stdout(commandHelp(COMMANDS[topic]));
  else {
    io.stderr(unknownCommand(topic));
    return EXIT.USAGE;
  }
  return EXIT.DONE;
}
