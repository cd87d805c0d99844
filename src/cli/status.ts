/** `tunlog status [INTERFACE]`: shows running nodes, for people or as JSON. */
import {
  allStatuses,
  askNode,
  type ControlReply,
  formatStatus,
  interfaceOfArgument,
  type NodeStatus,
} from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT, wantsColor } from "./io.ts";
import { CLIENT_NEEDS } from "./needs.ts";

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.status, args, io, async ({ values, positionals }) => {
    const argument = positionals[0];
    requirePermissions(CLIENT_NEEDS);
    const statuses = argument === undefined
      ? (await allStatuses()).map(statusOf)
      : [statusOf(await askNode(interfaceOfArgument(argument), "status"))];
    if (values.json) {
      io.stdout(`${JSON.stringify(argument === undefined ? statuses : statuses[0])}\n`);
    } else if (statuses.length === 0) {
      io.stderr("tunlog: No node is running\n");
    } else {
      const format = { color: wantsColor(io), wallMs: Date.now() };
      io.stdout(statuses.map((status) => formatStatus(status, format)).join("\n"));
    }
    return EXIT.DONE;
  });
}

function statusOf(reply: ControlReply): NodeStatus {
  if (reply.op === "failed") throw new Error(reply.error);
  if (reply.op !== "status") throw new TypeError(`Cannot read reply: op must be status`);
  return reply.status;
}
