/** Starts the demo's traffic: servers where topology.ts has them, and alpha, which talks to all of them. */
import type { Ending } from "./ending.ts";
import { hasCommand, type Lab } from "./lab.ts";
import { ownProgram } from "./process.ts";
import { SERVERS } from "./topology.ts";
import { TRAFFIC_WORD } from "./traffic.ts";

/** @throws {Error} If a server cannot be started. One that ends later fails the demo. */
export async function startTraffic(lab: Lab, ending: Ending): Promise<void> {
  const { argv, cwd } = ownProgram();
  const program = [...argv, "demo", TRAFFIC_WORD];
  const serving = SERVERS.map(({ place, address }) =>
    new Promise<void>((resolve) => {
      const onLine = (line: string): void => {
        if (line === "serving") resolve();
      };
      const child = lab.spawn(place, [...program, "serve", address], { onLine }, cwd);
      void child.ended.then((how) =>
        ending.fail(new Error(`Server in ${place} ended (${how}): ${child.errorText}`))
      );
    })
  );
  const addresses = SERVERS.map(({ address }) => address);
  const client = lab.spawn("alpha", [...program, "talk", ...addresses], {}, cwd);
  void client.ended.then((how) =>
    ending.fail(new Error(`Client in alpha ended (${how}): ${client.errorText}`))
  );
  // Not everywhere; the demo shows enough without it.
  if (hasCommand("ping")) {
    for (const address of addresses) lab.spawn("alpha", ["ping", "-n", "-i", "1", address]);
  }
  await ending.orEnd(Promise.all(serving));
}
