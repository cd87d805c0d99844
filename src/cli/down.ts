/** `tunlog down INTERFACE`: ends a running node and waits until its interface is gone. */
import { askNode, interfaceOfArgument } from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT } from "./io.ts";
import { CLIENT_NEEDS } from "./needs.ts";

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.down, args, io, async ({ positionals }) => {
    const interfaceName = interfaceOfArgument(positionals[0]!);
    requirePermissions(CLIENT_NEEDS);
    const reply = await askNode(interfaceName, "down");
    if (reply.op === "failed") throw new Error(reply.error);
    io.stderr(`tunlog: ${interfaceName} is down\n`);
    return EXIT.DONE;
  });
}
