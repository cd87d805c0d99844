/**
 * Sums by class, as messages, sinks and self-reports need them.
 *
 * In: counts, by class. Out: exact sums. Not here: which row is of which class (classify.ts).
 */
import { CLASS_NAMES, type ClassName, type ClassSums } from "../counters.ts";
import { CLASS } from "./classify.ts";
import { type Counts, CountsSum } from "./counts.ts";

/** Sums of the rows of one message, one window or one run. */
export class ClassTotals {
  /** By class number (CLASS). */
  readonly byClass: readonly CountsSum[] = CLASS_NAMES.map(() => new CountsSum());
  /** What was counted when there was no room for rows; contained in `unknown` or `physical`. */
  readonly other: CountsSum = new CountsSum();
  /** Rows taken from devices, and how many of them stand for several connections. */
  rows = 0;
  foldedRows = 0;

  /** Sums of one class. */
  of(className: ClassName): CountsSum {
    return this.byClass[CLASS_NAMES.indexOf(className)];
  }

  /** What passed the tunnel: all classes but the physical one. */
  tunnel(): Counts {
    const sum = new CountsSum();
    for (const [code, counts] of this.byClass.entries()) {
      if (code !== CLASS.PHYSICAL) sum.addCounts(counts);
    }
    return sum.value();
  }

  /** The sums as they are now, by name and as bigints. */
  sums(): ClassSums {
    const entries = CLASS_NAMES.map((className) => {
      const { txPackets, txBytes, rxPackets, rxBytes } = this.of(className);
      return [className, {
        txPackets: BigInt(txPackets),
        txBytes: BigInt(txBytes),
        rxPackets: BigInt(rxPackets),
        rxBytes: BigInt(rxBytes),
      }];
    });
    return Object.fromEntries(entries);
  }

  /** Adds another's sums. */
  addTotals(totals: ClassTotals): void {
    for (const [code, counts] of totals.byClass.entries()) this.byClass[code].addCounts(counts);
    this.other.addCounts(totals.other);
    this.rows += totals.rows;
    this.foldedRows += totals.foldedRows;
  }
}
