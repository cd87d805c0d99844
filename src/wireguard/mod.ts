/**
 * The WireGuard protocol as state machines: handshakes, sessions, AllowedIPs, timers.
 *
 * In: configuration, packets, datagrams, time as numbers, cryptography as a port. Out: packets sealed or opened in
 * place, and events. Guarantees: pure (no clock, no randomness, no sockets of its own); nothing per packet allocates
 * or throws; an idle interface has no deadline. Not here: packets' contents beyond their addresses, queues, counters.
 */
export { WireGuard, type WireGuardOptions } from "./wireguard.ts";
export { type Peer, type WireGuardEvents } from "./peer.ts";
export { type CarriedPeer, type Carrying } from "./carrying.ts";
export {
  COUNTER_BY_RECEIVE,
  NO_PEER,
  RECEIVE,
  RECEIVE_REJECTED,
  RESULT,
  RESULT_WORDS,
  SEAL,
} from "./status.ts";
export { completeTiming, DEFAULT_TIMING, lastMinuteRekeyMs, type Timing } from "./timing.ts";
export { MESSAGE } from "./messages.ts";
export { Board } from "./board.ts";
export { createBoard } from "./board_layout.ts";
export { Carrier } from "./carrier.ts";
export { CarrierBoard } from "./carrier_board.ts";
export { KEY_BYTES } from "./bytes.ts";
export type {
  AllowedIp,
  DeviceSnapshot,
  DeviceUpdate,
  PeerSnapshot,
  PeerUpdate,
  RouteChange,
} from "./config.ts";
