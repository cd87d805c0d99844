/**
 * What the Logger takes counts from: the tunnel's side (TUN) and the physical side (UDP) are both a Device.
 */

/** One row of a device's statistics. A FlowRow of `flow` is one. */
export interface StatisticsRow {
  /** Flow key (packet/key.ts), local side as source. No address: four zero words and no V6 bit. */
  readonly key: Uint32Array;
  /** Safe integers, as are the other three. */
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
  /** Whether several flows share the row because there was no room. */
  readonly folded: boolean;
  /** Whether it stands for all that found no row by addresses either; its key is without meaning. */
  readonly other: boolean;
}

/** All that a device has counted since it was made. */
export interface DeviceTotals {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

/** Side of the tunnel that counts connections. */
export interface Device {
  /** Starts or stops counting. A device that always counts may ignore it. */
  setStatisticsEnabled(enabled: boolean): void;
  /**
   * Hands over all that was counted since the last time and forgets it: each count is visited once, ever. A device that
   * fails does so before the first visit, and has its counts for the next time.
   * @param visit Called for each row, until the returned promise settles; the row may be reused.
   */
  extractStatistics(visit: (row: StatisticsRow) => void): void | Promise<void>;
  /**
   * Says who wants to be told of the first count after each extraction; null = nobody. A device that has it lets an idle
   * logger sleep; one that lacks it is asked every period.
   */
  onCounting?(listener: (() => void) | null): void;
  /** For self-reports, so that the log alone shows whether rows are missing. */
  statisticsTotals?(): DeviceTotals;
}

/** Stands where there is no device: never counts. */
export const NO_DEVICE: Device = {
  setStatisticsEnabled() {},
  extractStatistics() {},
};
