/** Which offloads are in use, by one worker or all, and that in words for people. */

/** See file header. */
export interface OffloadState {
  /** Super-packets that the device gives. */
  readonly tcp: boolean;
  readonly udp: boolean;
  /** Whether it is also given some. */
  readonly writes: boolean;
  /** Whether datagrams are sent many as one, and received so. */
  readonly sends: boolean;
  readonly receives: boolean;
  /** Endpoints to which they are not sent so; Infinity = all. */
  readonly plainPaths: number;
}

/** What all workers do. Several may have found out about the same endpoint. */
export function mergeOffloads(states: readonly OffloadState[]): OffloadState {
  return {
    ...states[0]!,
    writes: states.every((state) => state.writes),
    plainPaths: Math.max(...states.map((state) => state.plainPaths)),
  };
}

/** In words; none = every packet is read and sent by itself. */
export function offloadTexts(state: OffloadState): string[] {
  const { tcp, udp, writes, sends, receives, plainPaths } = state;
  const kinds = [...(tcp ? ["TCP"] : []), ...(udp ? ["UDP"] : [])].join(" and ");
  const except = plainPaths === 0
    ? ""
    : plainPaths === Infinity
    ? " (to no path: too many refuse it)"
    : ` (not to ${plainPaths} ${plainPaths === 1 ? "path that refuses" : "paths that refuse"} it)`;
  return [
    ...(kinds === "" ? [] : [`read ${kinds}`]),
    ...(kinds === "" || !writes ? [] : [`write ${kinds}`]),
    ...(sends ? [`send${except}`] : []),
    ...(receives ? ["receive"] : []),
  ];
}
