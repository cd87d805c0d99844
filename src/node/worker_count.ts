/**
 * How many data-plane workers a node has.
 *
 * Measured on two cores only, where both ends of the tunnel ran: see docs/design/0009-workers.md. There a second worker
 * gains nothing, for one worker and the other end keep both cores busy.
 */

/** Cores from which on two workers are the choice. */
const CORES_FOR_TWO = 4;

/** What `[DataPlane] Workers` may say. */
export type WorkersChoice = "auto" | number;

/** Number of workers for a choice and so many cores. */
export function workersOf(choice: WorkersChoice, cores: number): number {
  if (choice !== "auto") return choice;
  return cores < CORES_FOR_TWO ? 1 : 2;
}
