/**
 * What the kernel says that an interface carried.
 *
 * In: a namespace and an interface. Out: counts, of two kinds. An interface's own counters take a super-packet for one
 * packet. Those of its queueing discipline count each as the packets and bytes that a wire would carry (Linux,
 * net/core/dev.c qdisc_pkt_len_init and include/net/sch_generic.h bstats_update), so they are the witness of who
 * counts segments. They know one direction only, from the kernel to the interface.
 */
import { mustSync } from "../../system/support/command.ts";
import type { Namespace } from "../../system/support/namespaces.ts";

/** Packets and bytes. */
export interface LinkCount {
  readonly packets: number;
  readonly bytes: number;
}

/** What went from the kernel to an interface: on a TUN, what its owner read. */
export interface LinkCounts {
  /** As a wire would carry them, those that the device dropped included. */
  readonly segments: LinkCount;
  /** As the device gave them. */
  readonly reads: LinkCount;
  /** Packets or super-packets that found the device's own queue full. */
  readonly dropped: number;
}

/** Reads the counts of an interface that is up. @throws {Error} If its queueing discipline counts nothing. */
export function linkCounts(namespace: Namespace, name: string): LinkCounts {
  const [queue] = JSON.parse(
    mustSync(namespace.argv(["tc", "-s", "-j", "qdisc", "show", "dev", name])),
  );
  if (queue === undefined || queue.kind === "noqueue") {
    throw new Error(`${name} has no queueing discipline that counts`);
  }
  const [{ stats64: { tx } }] = namespace.ipJson("-s", "link", "show", "dev", name);
  return {
    segments: { packets: queue.packets, bytes: queue.bytes },
    reads: { packets: tx.packets, bytes: tx.bytes },
    dropped: tx.dropped,
  };
}
