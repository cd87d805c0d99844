/** `tunlog reload INTERFACE`: makes a running node read its file again. */
import { askNode, interfaceOfArgument } from "../node/mod.ts";
import { requirePermissions } from "../platform/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT } from "./io.ts";
import { CLIENT_NEEDS } from "./needs.ts";

/** See file header. */
export function run(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.reload, args, io, async ({ positionals }) => {
    const interfaceName = interfaceOfArgument(positionals[0]!);
    requirePermissions(CLIENT_NEEDS);
    const reply = await askNode(interfaceName, "reload");
    if (reply.op === "failed") throw new Error(reply.error);
    const warnings = reply.op === "reload" ? reply.warnings : [];
    for (const warning of warnings) io.stderr(`tunlog: ${warning}\n`);
    io.stderr(`tunlog: ${interfaceName} is reloaded\n`);
    return EXIT.DONE;
  });
}
