/**
 * A node: one interface, its peers, its flow log, and the sockets by which it is asked and told.
 *
 * In: a configuration, and a platform whose effects it uses. Out: a running tunnel; status; one promise that tells
 * when it cannot go on. Guarantees: start() either succeeds or leaves nothing behind; stop() undoes everything in
 * reverse, is safe to call twice, and the last window of the flow log is written before it returns.
 */
import { messageOf } from "../errors.ts";
import { SHUTDOWN_DELIVERY_MS } from "../limits.ts";
import { HASH_SECRET_WORDS } from "../packet/mod.ts";
import type { ClockPort, NetworkPort, TimerPort, TunPort, WakePort, ZstdPort } from "../ports.ts";
import type { DeviceUpdate } from "../wireguard/mod.ts";
import type { HookMoment, NodeConfig } from "./config.ts";
import { reloadUpdate, startUpdate } from "./config_update.ts";
import { createControlServer } from "./control_server.ts";
import { FlowLog } from "./flow_log.ts";
import { type FlowSink, LineOutput } from "./line_output.ts";
import { openCollectorOutput } from "./open_collector.ts";
import { openExitPolicy } from "./log_identity.ts";
import { logView } from "./log_routes.ts";
import { applyNetworkPlan, changeRoutes, readNetworkFacts, undoNetworkPlan } from "./network.ts";
import { type NetworkPlan, type NetworkSettings, planNetwork } from "./network_plan.ts";
import type { NetworkUndo, UndoEntry } from "./network_undo.ts";
import { nodeStatus } from "./node_status.ts";
import { EndpointRetry, type Resolved, resolveEndpoints, type Resolver } from "./resolve.ts";
import { StateFile } from "./state_file.ts";
import type { NodeStatus } from "./status.ts";
import { endpointText, type UapiChange, type UapiState } from "./uapi.ts";
import { createUapiServer } from "./uapi_server.ts";
import type { WorkerThread } from "./worker_client.ts";
import { workersOf } from "./worker_count.ts";
import { WorkerGroup, type WorkerSockets } from "./worker_group.ts";

/** Sockets of one port. */
export interface NodeSockets extends WorkerSockets {
  readonly port: number;
}

/** What a node needs of the machine; cli/ builds it. */
export interface NodePlatform {
  /** E.g. `deno 2.9.6`. */
  readonly runtime: string;
  readonly processId: number;
  readonly clock: ClockPort;
  readonly timers: TimerPort;
  readonly network: NetworkPort;
  readonly resolver: Resolver;
  /** Cryptography asked for; absent = the best that is there. */
  readonly cryptoName?: "libcrypto" | "noble";
  /** Processors that this process may use. */
  readonly cores: number;
  /**
   * Opens a device with so many queues.
   * @param offloads Whether super-packets are wanted, as far as the kernel knows them.
   */
  openTun(name: string, offloads: boolean, queues: number): readonly TunPort[];
  /**
   * Opens so many pairs of sockets on one port.
   * @param offloads Whether many datagrams are to be moved as one, as far as the kernel knows how.
   */
  openSockets(port: number, mark: number, offloads: boolean, pairs: number): readonly NodeSockets[];
  openWake(): WakePort;
  startWorker(): WorkerThread;
  openZstd(): Promise<ZstdPort>;
  /** Unpredictable words, for the flow tables' hash. */
  randomWords(count: number): Uint32Array;
}

/** What a node's owner gives and hears. */
export interface NodeOwner {
  /** Takes the flow log as lines; null = nobody wants them. */
  readonly sink: FlowSink | null;
  /** Runs the hooks of a moment. @throws To refuse a start. */
  readonly runHooks: (moment: HookMoment) => void;
  /** Reads the configuration anew. @throws {ConfigError} If it is wrong. */
  readonly readConfig: () => NodeConfig;
  readonly info: (message: string) => void;
  readonly warn: (message: string) => void;
}

/** See file header. */
export class Node {
  readonly #platform: NodePlatform;
  readonly #owner: NodeOwner;
  readonly #stateFile: StateFile;
  readonly #warnings: string[] = [];
  /** What stop() does, oldest first. */
  readonly #undo: (() => void | Promise<void>)[] = [];
  readonly #retries: EndpointRetry[] = [];
  #config: NodeConfig;
  #startedWallMs = 0;
  #queues!: readonly TunPort[];
  #sockets!: readonly NodeSockets[];
  #workers!: WorkerGroup;
  #flowLog!: FlowLog;
  #plan!: NetworkPlan;
  #networkUndo: NetworkUndo | null = null;
  #leftovers: readonly UndoEntry[] = [];
  #mark = 0;
  /** Changes of configuration run one after another. */
  #changing: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | null = null;
  #fail: (message: string) => void = () => {};

  /** Resolves with a sentence when the node cannot go on; the caller then stops it. */
  readonly failed: Promise<string> = new Promise((resolve) => this.#fail = resolve);
  /** Resolves when somebody asked for the end over the control socket. */
  readonly asked: Promise<void>;
  #ask: () => void = () => {};

  constructor(config: NodeConfig, platform: NodePlatform, owner: NodeOwner) {
    this.#config = config;
    this.#platform = platform;
    this.#owner = owner;
    this.#stateFile = new StateFile(config.interfaceName);
    this.asked = new Promise((resolve) => this.#ask = resolve);
  }

  get interfaceName(): string {
    return this.#config.interfaceName;
  }

  // ---- Life -----------------------------------------------------------------------------------------------------

  /** @throws If anything that the tunnel needs fails; what was done until then is undone. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const { interfaceName, offloads, workers } = this.#config;
    this.#startedWallMs = this.#platform.clock.wallMs();
    for (const warning of this.#config.warnings) this.#warn(warning);
    this.#owner.runHooks("preUp");
    const resolving = resolveEndpoints(this.#config, this.#platform.resolver);
    this.#queues = this.#platform.openTun(
      interfaceName,
      offloads === "auto" || offloads === "tun",
      workersOf(workers, this.#platform.cores),
    );
    for (const queue of this.#queues) this.#owned(queue);
    this.#recover();
    const resolved = await resolving;
    this.#planNetwork(resolved);
    this.#openSockets();
    await this.#startWorkers();
    await this.#configure(this.#config, startUpdate(this.#config, resolved.endpoints));
    this.#retryUnresolved(resolved);
    this.#applyNetwork();
    await this.#serve();
    this.#owner.runHooks("postUp");
    this.#undo.push(() => this.#owner.runHooks("preDown"));
    this.#undo.unshift(() => this.#owner.runHooks("postDown"));
  }

  /** Ends everything; what fails is warned of and does not keep the rest from ending. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      await this.#changing;
      for (const undo of this.#undo.splice(0).reverse()) {
        try {
          await undo();
        } catch (error) {
          this.#owner.warn(messageOf(error));
        }
      }
    })();
    return this.#stopping;
  }

  #owned<T extends { close(): void }>(thing: T): T {
    this.#undo.push(() => thing.close());
    return thing;
  }

  /** Undoes what a killed node of the same interface left. We hold the interface's name now, so it cannot be alive. */
  #recover(): void {
    try {
      const left = this.#stateFile.read();
      if (left === null) return;
      this.#owner.warn(`Undoing what a node of "${left.interfaceName}" left when it was killed`);
      const { remaining, problems } = undoNetworkPlan(this.#platform.network, left);
      this.#leftovers = remaining.entries;
      this.#saveUndo({ ...left, entries: [] });
      for (const problem of problems) this.#owner.warn(problem);
    } catch (error) {
      // An unreadable record is of no use to a later start either.
      this.#stateFile.remove();
      this.#owner.warn(messageOf(error));
    }
  }

  /** Writes down what outlives the process: our own changes, and those of a killed node that could not be undone. */
  #saveUndo(undo: NetworkUndo): void {
    this.#stateFile.write({ ...undo, entries: [...this.#leftovers, ...undo.entries] });
  }

  #openSockets(): void {
    const { listenPort } = this.#config;
    this.#sockets = this.#bind(listenPort, this.#mark);
    this.#undo.push(() => closeSockets(this.#sockets));
  }

  #bind(port: number, mark: number): readonly NodeSockets[] {
    const { offloads } = this.#config;
    const wanted = offloads === "auto" || offloads === "udp";
    return this.#platform.openSockets(port, mark, wanted, this.#queues.length);
  }

  get #port(): number {
    return this.#sockets[0]!.port;
  }

  async #startWorkers(): Promise<void> {
    const { flowLog, timing } = this.#config;
    const { cryptoName } = this.#platform;
    const hashSecret = this.#platform.randomWords(HASH_SECRET_WORDS);
    this.#workers = this.#owned(
      new WorkerGroup({
        queues: this.#queues,
        hashSecret,
        flowsMax: flowLog.flowsMax,
        openWake: () => this.#platform.openWake(),
        startThread: () => this.#platform.startWorker(),
      }),
    );
    this.#workers.open();
    await this.#startFlowLog(hashSecret);
    this.#undo.push(() => this.#workers.stop());
    await this.#workers.start({
      mtuBytes: this.#plan.mtuBytes,
      timing,
      ...(cryptoName && { cryptoName }),
      listeners: {
        counting: () => this.#flowLog.counting(),
        failed: (message) => this.#fail(message),
      },
    });
    await this.#workers.giveSockets(this.#sockets);
  }

  /** Before anything can be counted. */
  async #startFlowLog(hashSecret: Uint32Array): Promise<void> {
    const { clock, timers } = this.#platform;
    const { flowLog, interfaceName } = this.#config;
    const warn = this.#owner.warn;
    const { sink } = this.#owner;
    const exitPolicy = openExitPolicy(flowLog, warn);
    const collector = await openCollectorOutput(flowLog, this.#platform, warn);
    this.#flowLog = new FlowLog({
      virtual: this.#workers.virtual,
      physical: this.#workers.physical,
      ...{ clock, timers, hashSecret, exitPolicy, collector, warn },
      periodMs: flowLog.periodMs,
      overlayRanges: flowLog.overlayRanges,
      name: interfaceName,
      lines: sink === null ? null : new LineOutput(sink, warn),
      counters: () => this.#workers.counters(),
      wake: () => this.#workers.wake(),
    });
    this.#undo.push(() => this.#stopFlowLog());
    await this.#flowLog.start();
  }

  async #stopFlowLog(): Promise<void> {
    const left = await this.#flowLog.stop(SHUTDOWN_DELIVERY_MS);
    if (left === 0) return;
    const isKept = this.#config.flowLog.stateDirectory !== null;
    this.#owner.info(
      `${left} entries of the flow log are not delivered: ` +
        (isKept ? "the next start will send them" : "they are lost, StateDirectory is none"),
    );
  }

  /** Has the data plane take over `update`, and the flow log the peers that there are then. */
  async #configure(config: NodeConfig, update: DeviceUpdate): Promise<void> {
    await this.#workers.configure(update);
    const { device } = await this.#workers.snapshot();
    this.#flowLog.reconfigure(logView(config, device));
  }

  async #serve(): Promise<void> {
    const { interfaceName } = this.#config;
    const uapi = createUapiServer(interfaceName, {
      get: () => this.#uapiState(),
      set: (change) => this.#changed(() => this.#uapiSet(change)),
    });
    const control = createControlServer(interfaceName, {
      status: () => this.status(),
      reload: () => this.reloadFromFile(),
      down: () => Promise.resolve(this.#ask()),
    });
    await uapi.start();
    this.#undo.push(() => uapi.stop());
    await control.start();
    // Last of all: who asked for the end waits for its connection to close, and then nothing may be left.
    this.#undo.unshift(() => control.stop());
  }

  // ---- Network --------------------------------------------------------------------------------------------------

  #settings(config: NodeConfig): NetworkSettings {
    return {
      interfaceName: config.interfaceName,
      addresses: config.addresses,
      mtuBytes: config.mtu,
      table: config.table,
      allowedIps: config.peers.flatMap((peer) => peer.allowedIps),
      mark: config.fwmark,
    };
  }

  #planNetwork({ endpoints }: Resolved): void {
    const settings = this.#settings(this.#config);
    const known = this.#config.peers.flatMap((peer) =>
      peer.endpoint?.words ?? endpoints.get(peer) ?? []
    );
    const hosts = known.map((words) => hostOf(endpointText(words)));
    const facts = readNetworkFacts(this.#platform.network, settings, hosts);
    this.#plan = planNetwork(settings, facts);
    this.#mark = this.#plan.mark;
  }

  #applyNetwork(): void {
    const { network } = this.#platform;
    const applied = applyNetworkPlan(network, this.#plan, (undo) => this.#saveUndo(undo));
    this.#networkUndo = applied.undo;
    for (const warning of applied.warnings) this.#warn(warning);
    this.#undo.push(() => {
      const { remaining, problems } = undoNetworkPlan(network, this.#networkUndo!);
      // What could not be undone now, the next start tries again.
      this.#saveUndo(remaining);
      for (const problem of problems) this.#owner.warn(problem);
    });
  }

  // ---- Changes while it runs ------------------------------------------------------------------------------------

  /** Runs `change` after all changes before it, and none once the node stops. */
  #changed<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changing.then(() => {
      if (this.#stopping !== null) throw new Error("The node is stopping");
      return change();
    });
    this.#changing = result.catch(() => {});
    return result;
  }

  /** Reloads what the owner reads. @returns As reload. */
  async reloadFromFile(): Promise<readonly string[]> {
    return await this.reload(this.#owner.readConfig());
  }

  /**
   * Takes over peers, keys, port, mark and routes of a new configuration. Sessions of peers that stay go on.
   * @returns Sentences about what could not be taken over.
   * @throws If it cannot at all; then nothing has changed.
   */
  reload(config: NodeConfig): Promise<readonly string[]> {
    return this.#changed(async () => {
      const resolved = await resolveEndpoints(config, this.#platform.resolver);
      const { device } = await this.#workers.snapshot();
      const settings = { ...this.#settings(config), mark: config.fwmark || this.#mark };
      const facts = readNetworkFacts(this.#platform.network, settings, []);
      const plan = planNetwork({ ...settings, mtuBytes: this.#plan.mtuBytes }, facts);
      await this.#changeSockets(config.listenPort || this.#port, plan.mark, async () => {
        await this.#configure(config, reloadUpdate(config, resolved.endpoints, device));
      });
      const applied = changeRoutes(
        this.#platform.network,
        this.#networkUndo!,
        plan,
        (undo) => this.#saveUndo(undo),
      );
      this.#networkUndo = applied.undo;
      const warnings = [...applied.warnings, ...needsRestart(this.#config, config)];
      for (const warning of warnings) this.#warn(warning);
      this.#plan = plan;
      this.#config = config;
      this.#retryUnresolved(resolved);
      this.#owner.info(`${config.interfaceName} reloaded: ${config.peers.length} peers`);
      return warnings;
    });
  }

  async #uapiState(): Promise<UapiState> {
    const { device } = await this.#workers.snapshot();
    return { device, listenPort: this.#port, fwmark: this.#mark };
  }

  async #uapiSet({ device, listenPort, fwmark }: UapiChange): Promise<number> {
    await this.#changeSockets(listenPort ?? this.#port, fwmark ?? this.#mark, async () => {
      await this.#configure(this.#config, device);
    });
    return 0;
  }

  /** Opens the new port first, so that a port in use changes nothing; `then` likewise may still refuse. */
  async #changeSockets(port: number, mark: number, then: () => Promise<void>): Promise<void> {
    const old = this.#sockets;
    const isSame = port === this.#port;
    const next = isSame ? old : this.#bind(port, mark);
    try {
      await then();
    } catch (error) {
      if (!isSame) closeSockets(next);
      throw error;
    }
    for (const { udp4, udp6 } of next) {
      udp4?.setMark(mark);
      udp6?.setMark(mark);
    }
    this.#mark = mark;
    if (isSame) return;
    this.#sockets = next;
    await this.#workers.giveSockets(next);
    closeSockets(old);
  }

  #retryUnresolved({ unresolved }: Resolved): void {
    for (const retry of this.#retries.splice(0)) retry.stop();
    for (const { peer, problem } of unresolved) {
      this.#owner.warn(`${problem}; trying again`);
      const retry = new EndpointRetry(peer.endpoint!, this.#platform.resolver, (endpoint) => {
        const update = { peers: [{ publicKey: peer.publicKey, updateOnly: true, endpoint }] };
        void this.#changed(() => this.#workers.configure(update)).catch(() => {});
      });
      this.#retries.push(retry);
      this.#undo.push(() => retry.stop());
      retry.start();
    }
  }

  // ---- Status ---------------------------------------------------------------------------------------------------

  /** Everything about the node, as one consistent picture when nothing moves. */
  async status(): Promise<NodeStatus> {
    const snapshot = await this.#workers.snapshot();
    return nodeStatus({
      config: this.#config,
      snapshot,
      listenPort: this.#port,
      workers: this.#workers.readPackets(),
      fwmark: this.#mark,
      mtuBytes: this.#plan.mtuBytes,
      runtime: this.#platform.runtime,
      processId: this.#platform.processId,
      startedWallMs: this.#startedWallMs,
      counters: this.#workers.counters(),
      link: this.#platform.network.linkByName(this.#config.interfaceName)?.statistics ?? null,
      flowLog: this.#flowLog.status(),
      warnings: this.#warnings,
    });
  }

  #warn(message: string): void {
    this.#warnings.push(message);
    this.#owner.warn(message);
  }
}

function closeSockets(sockets: readonly NodeSockets[]): void {
  for (const { udp4, udp6 } of sockets) {
    udp4?.close();
    udp6?.close();
  }
}

/** What a reload cannot take over. */
function needsRestart(before: NodeConfig, after: NodeConfig): string[] {
  const parts: [string, unknown, unknown][] = [
    ["Address", before.addresses, after.addresses],
    ["MTU", before.mtu, after.mtu],
    ["[FlowLog]", before.flowLog, after.flowLog],
    ["[DataPlane]", [before.offloads, before.workers], [after.offloads, after.workers]],
    ["[Timers]", before.timing, after.timing],
  ];
  return parts.filter(([, old, now]) => JSON.stringify(old) !== JSON.stringify(now)).map(([key]) =>
    `${key} has changed in the file; it takes effect at the next start`
  );
}

/** `[fe80::1%3]:51820` → `fe80::1`; `192.0.2.1:51820` → `192.0.2.1`. */
function hostOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(":")).replace(/[[\]]|%.*$/g, "");
}
