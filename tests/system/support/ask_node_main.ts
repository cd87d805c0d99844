/** Asks one node for its status as whoever runs this, and prints the reply or the error: NAME DIRECTORY. */
import process from "node:process";
import { askNode } from "../../../src/node/control_client.ts";

const [name, directory] = process.argv.slice(2) as [string, string];
try {
  console.log(JSON.stringify(await askNode(name, "status", { directory })));
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
}
