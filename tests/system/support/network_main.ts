/**
 * Carries out network plans in the namespace that it runs in, on a TUN that it holds open; see network.ts beside it.
 *
 * In: the TUN's name or "-" for none; NetworkRequest lines on standard input. Out: the line `ready`, then one
 * NetworkAnswer line for each request.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import {
  applyNetworkPlan,
  changeRoutes,
  readNetworkFacts,
  undoNetworkPlan,
} from "../../../src/node/network.ts";
import { type NetworkSettings, planNetwork } from "../../../src/node/network_plan.ts";
import { type NetworkUndo, parseNetworkUndo } from "../../../src/node/network_undo.ts";
import { parsePrefix } from "../../../src/packet/mod.ts";
import { openNetwork } from "../../../src/platform/netlink/mod.ts";
import { openTun } from "../../../src/platform/mod.ts";
import type { NetworkAnswer, NetworkRequest, SettingsText } from "./network.ts";

const [tunName = "-"] = process.argv.slice(2);
const tun = tunName === "-" ? null : openTun({ name: tunName });
const network = openNetwork();
let current: { settings: NetworkSettings; undo: NetworkUndo } | null = null;

function settingsOf(text: SettingsText): NetworkSettings {
  return {
    ...text,
    addresses: text.addresses.map((address) => parsePrefix(address)!),
    allowedIps: text.allowedIps.map((prefix) => parsePrefix(prefix)!),
  };
}

function answer(request: NetworkRequest): NetworkAnswer {
  switch (request.op) {
    case "apply": {
      const settings = settingsOf(request.settings);
      const plan = planNetwork(settings, readNetworkFacts(network, settings, request.endpoints));
      const { undo, warnings } = applyNetworkPlan(
        network,
        plan,
        (record) => writeFileSync(request.statePath, JSON.stringify(record)),
      );
      current = { settings: { ...settings, mark: plan.mark }, undo };
      return { mark: plan.mark, warnings };
    }
    case "change": {
      const settings = {
        ...current!.settings,
        allowedIps: request.allowedIps.map((prefix) => parsePrefix(prefix)!),
      };
      const plan = planNetwork(settings, readNetworkFacts(network, settings, []));
      const { undo, warnings } = changeRoutes(network, current!.undo, plan);
      current = { settings: { ...settings, mark: plan.mark }, undo };
      return { mark: plan.mark, warnings };
    }
    case "undo":
      return { warnings: [...undoNetworkPlan(network, current!.undo).problems] };
    case "recover": {
      const record = parseNetworkUndo(JSON.parse(readFileSync(request.statePath, "utf8")));
      return { warnings: [...undoNetworkPlan(network, record).problems] };
    }
    case "link":
      return { warnings: [], value: network.linkByName(request.name) };
    case "routeGet":
      return { warnings: [], value: network.routeGet(request.destination, request.mark) };
  }
}

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  let reply: NetworkAnswer;
  try {
    reply = answer(JSON.parse(line) as NetworkRequest);
  } catch (error) {
    const { name, message } = error as Error;
    reply = { warnings: [], error: `${name}: ${message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
tun?.close();
network.close();
