/** Starts the demo's helpers: servers where topology.ts has them, alpha's client, and the way to alpha's collector. */
import type { Ending } from "./ending.ts";
import { hasCommand, type Lab } from "./lab.ts";
import { ownProgram } from "./process.ts";
import { RELAY_WORD } from "./relay.ts";
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
      const child = lab.spawn(place, [...program, "serve", address], { onLine, cwd });
      void child.ended.then((how) =>
        ending.fail(new Error(`Server in ${place} ended (${how}): ${child.errorText}`))
      );
    })
  );
  const addresses = SERVERS.map(({ address }) => address);
  const client = lab.spawn("alpha", [...program, "talk", ...addresses], { cwd });
  void client.ended.then((how) =>
    ending.fail(new Error(`Client in alpha ended (${how}): ${client.errorText}`))
  );
  await ending.orEnd(Promise.all(serving));
}

/** Lets alpha ping all servers, once there are routes, without which ping ends. It is not everywhere, nor is it needed. */
export function startPings(lab: Lab): void {
  if (!hasCommand("ping")) return;
  for (const { address } of SERVERS) lab.spawn("alpha", ["ping", "-n", "-i", "1", address]);
}

/** Starts alpha's half of the relay. @param path Socket that it is to listen on. */
export async function startRelay(
  lab: Lab,
  ending: Ending,
  path: string,
  port: number,
): Promise<void> {
  const { argv, cwd } = ownProgram();
  const relaying = new Promise<void>((resolve) => {
    const onLine = (line: string): void => {
      if (line === "relaying") resolve();
    };
    const words = ["demo", RELAY_WORD, path, String(port)];
    const child = lab.spawn("alpha", [...argv, ...words], { onLine, cwd });
    void child.ended.then((how) =>
      ending.fail(new Error(`Relay in alpha ended (${how}): ${child.errorText}`))
    );
  });
  await ending.orEnd(relaying);
}
