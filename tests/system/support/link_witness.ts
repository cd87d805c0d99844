/**
 * The independent witness of what an interface carried: the kernel's own counters at the moment it was removed.
 *
 * In: a namespace. Out: for each interface that has gone, its last counters. They are in the notice that the kernel sends when
 * it removes an interface (RTM_DELLINK with IFLA_STATS64, linux/rtnetlink.h), and `rtmon` writes such notices to a file. So
 * they are exact however the process that owned the interface ended.
 */
import { Buffer } from "node:buffer";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sums } from "./log_books.ts";
import type { Namespace } from "./namespaces.ts";
import { waitUntil } from "./wait.ts";

/** linux/netlink.h, linux/rtnetlink.h, linux/if_link.h. */
const NLMSGHDR_BYTES = 16;
const IFINFOMSG_BYTES = 16;
const RTM_DELLINK = 17;
const IFLA_IFNAME = 3;
const IFLA_STATS64 = 23;

const MARK = "mark";

const aligned = (bytes: number) => (bytes + 3) & ~3;

/** See file header. */
export class LinkWitness {
  readonly #namespace: Namespace;
  readonly #path: string;
  #marks = 0;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
    this.#path = join(namespace.lab.directory, `links-${namespace.name}`);
    namespace.spawn(["rtmon", "file", this.#path, "link"]);
  }

  /** Waits until it listens: it writes down first which interfaces there are. */
  async ready(): Promise<void> {
    await waitUntil("rtmon listens", () => existsSync(this.#path) && this.#notices().length > 0, {
      intervalMs: 5,
    });
  }

  /** Last counters of every interface of that name, in the order of their ends. */
  ended(name: string): Sums[] {
    return this.#notices().filter(({ type }) => type === RTM_DELLINK)
      .map(({ bytes }) => attributesOf(bytes))
      .filter((attributes) => textOf(attributes.get(IFLA_IFNAME)) === name)
      .map((attributes) => sumsOf(attributes.get(IFLA_STATS64)!));
  }

  /** Waits for the `count`-th end of an interface. @returns Its last counters. */
  async end(name: string, count: number): Promise<Sums> {
    return await waitUntil(`${name} has ended ${count} times`, () => this.ended(name)[count - 1], {
      intervalMs: 10,
    });
  }

  /** Waits until all that has ended by now is written down: an interface that is made and removed comes behind it. */
  async settle(): Promise<void> {
    this.#namespace.ip(`link add ${MARK} type veth peer name ${MARK}peer`, `link delete ${MARK}`);
    await this.end(MARK, ++this.#marks);
  }

  #notices(): { type: number; bytes: Uint8Array }[] {
    const file = readFileSync(this.#path);
    const notices: { type: number; bytes: Uint8Array }[] = [];
    for (let offset = 0; offset + NLMSGHDR_BYTES <= file.length;) {
      const length = file.readUInt32LE(offset);
      // A notice that is being written.
      if (offset + length > file.length) break;
      notices.push({
        type: file.readUInt16LE(offset + 4),
        bytes: file.subarray(offset + NLMSGHDR_BYTES, offset + length),
      });
      offset += aligned(length);
    }
    return notices;
  }
}

function attributesOf(notice: Uint8Array): Map<number, Buffer> {
  const bytes = Buffer.from(notice);
  const attributes = new Map<number, Buffer>();
  for (let offset = IFINFOMSG_BYTES; offset + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(offset);
    if (length < 4) break;
    attributes.set(bytes.readUInt16LE(offset + 2), bytes.subarray(offset + 4, offset + length));
    offset += aligned(length);
  }
  return attributes;
}

function textOf(bytes: Buffer | undefined): string {
  return bytes === undefined ? "" : bytes.toString("utf8").replace(/\0$/, "");
}

/** struct rtnl_link_stats64: rx_packets, tx_packets, rx_bytes, tx_bytes come first. */
function sumsOf(stats: Buffer): Sums {
  const [rxPackets, txPackets, rxBytes, txBytes] = [0, 8, 16, 24].map((offset) =>
    Number(stats.readBigUInt64LE(offset))
  ) as [number, number, number, number];
  return { txPackets, txBytes, rxPackets, rxBytes };
}

/** Starts one and waits until it listens. */
export async function startLinkWitness(namespace: Namespace): Promise<LinkWitness> {
  const witness = new LinkWitness(namespace);
  await witness.ready();
  return witness;
}
