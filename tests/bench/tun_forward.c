/*
 * Forwards between two TUN devices and counts flows: the limit that tun_forward.ts is measured against.
 *
 *     gcc -O2 -DREAD_PACKETS_MAX=128 -DREAD_BYTES_MAX=262144 -o tun_forward tun_forward.c
 *     tun_forward NAME_A NAME_B
 *
 * The design is that of tun_forward.ts, step by step: non-blocking devices with virtio headers and the same offloads;
 * poll(2) over both and standard input; of a readable device one packet or super-packet after another until nothing
 * waits or a turn's measure is full; each is decoded, counted under its flow as the packets that a wire would carry,
 * and written to the other device with the header it came with. What C can do better it does: header and packet are
 * read and written as one piece of memory, by read(2) and write(2).
 *
 * Out: "ready" when both devices stand; when standard input can be read or is closed, one line of JSON with all
 * counts, and the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* linux/if_tun.h of Debian 12 does not know them; the kernel does since 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define GSO_UDP_L4 5
#define GSO_ECN 0x80

#define HEADER_BYTES sizeof(struct virtio_net_hdr)
#define PACKET_BYTES_MAX 65535
/* The packet, not the header, begins at a multiple of 16. */
#define HEADER_OFFSET (16 - HEADER_BYTES)
/* Twice as many places as flows, a power of two: 64 Ki flows as the banks of tunlog have by default. */
#define TABLE_PLACES (1u << 17)
#define FLOWS_MAX (TABLE_PLACES / 2)
#define EXTENSION_HEADERS_MAX 8

enum { TCP = 6, UDP = 17, SCTP = 132, HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AH = 51, OPTIONS = 60 };

/* Addresses are 16 bytes each; IPv4 is mapped. */
struct key {
  uint32_t proto;
  uint16_t source_port;
  uint16_t destination_port;
  uint64_t source[2];
  uint64_t destination[2];
};

/* One cache line. tx: from device A to B; rx: the other way. A place without packets is free. */
struct flow {
  struct key key;
  uint32_t tx_packets;
  uint32_t rx_packets;
  uint64_t tx_bytes;
  uint64_t rx_bytes;
} __attribute__((aligned(64)));

/* What was read from one device. */
struct counts {
  uint64_t reads;
  uint64_t read_bytes;
  uint64_t packets;
  uint64_t bytes;
  uint64_t undecodable;
  uint64_t write_failed;
};

static struct flow table[TABLE_PLACES];
static uint32_t flow_count;
static uint64_t uncounted_packets;
static struct counts counts[2];
static uint8_t buffer[HEADER_OFFSET + HEADER_BYTES + PACKET_BYTES_MAX + 1] __attribute__((aligned(64)));

static void fail(const char *what) {
  fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_tun(const char *name) {
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail("open /dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(fd, TUNSETIFF, &request) < 0) fail("make a TUN device");
  unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(fd, TUNSETOFFLOAD, tcp) < 0) {
    fail("set offloads");
  }
  return fd;
}

static inline uint16_t big16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

/* Fills the key. Returns the offset of the transport header, 0 = none can be read, -1 = the packet has no addresses. */
static int decode(const uint8_t *packet, int length, struct key *key) {
  int transport, proto, end = length, later = 0;
  key->proto = key->source_port = key->destination_port = 0;
  if (length >= 20 && packet[0] >> 4 == 4) {
    transport = (packet[0] & 15) * 4;
    proto = packet[9];
    int stated = big16(packet + 2);
    if (transport < 20 || stated > length) return -1;
    end = stated;
    later = (big16(packet + 6) & 0x1fff) != 0;
    uint32_t address;
    memcpy(&address, packet + 12, 4);
    key->source[0] = 0;
    key->source[1] = 0xffff0000u | (uint64_t)address << 32;
    memcpy(&address, packet + 16, 4);
    key->destination[0] = 0;
    key->destination[1] = 0xffff0000u | (uint64_t)address << 32;
  } else if (length >= 40 && packet[0] >> 4 == 6) {
    transport = 40;
    proto = packet[6];
    if (big16(packet + 4) + 40 > length) return -1;
    end = big16(packet + 4) + 40;
    memcpy(key->source, packet + 8, 16);
    memcpy(key->destination, packet + 24, 16);
    for (int header = 0; header < EXTENSION_HEADERS_MAX; header++) {
      if (proto != HOP_BY_HOP && proto != ROUTING && proto != FRAGMENT && proto != AH && proto != OPTIONS) break;
      if (transport + 8 > end) return 0;
      const uint8_t *at = packet + transport;
      if (proto == FRAGMENT && (big16(at + 2) & 0xfff8) != 0) later = 1;
      transport += proto == FRAGMENT ? 8 : proto == AH ? (at[1] + 2) * 4 : (at[1] + 1) * 8;
      proto = at[0];
    }
  } else {
    return -1;
  }
  key->proto = (uint32_t)proto;
  if (later || transport > end) return 0;
  if ((proto == TCP || proto == UDP || proto == SCTP) && transport + 4 <= end) {
    key->source_port = big16(packet + transport);
    key->destination_port = big16(packet + transport + 2);
  }
  return transport;
}

/* How many packets a wire would carry, and their IP bytes. */
static uint32_t segments(const struct virtio_net_hdr *header, const uint8_t *packet, int length, int transport,
                         int proto, uint64_t *bytes) {
  *bytes = (uint64_t)length;
  if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE || transport <= 0 || header->gso_size == 0) return 1;
  int headers = transport + 8;
  if (proto == TCP) {
    if (transport + 20 > length) return 1;
    headers = transport + (packet[transport + 12] >> 4) * 4;
  }
  int payload = length - headers;
  if (payload <= header->gso_size) return 1;
  uint32_t packets = (uint32_t)(payload + header->gso_size - 1) / header->gso_size;
  *bytes = (uint64_t)packets * (uint64_t)headers + (uint64_t)payload;
  return packets;
}

static inline uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
  return hash ^ hash >> 32;
}

static struct flow *find(const struct key *key) {
  uint64_t ports = (uint64_t)key->proto << 32 | (uint64_t)key->source_port << 16 | key->destination_port;
  uint64_t hash = mix(0x243f6a8885a308d3ull, ports);
  hash = mix(mix(hash, key->source[0]), key->source[1]);
  hash = mix(mix(hash, key->destination[0]), key->destination[1]);
  for (uint32_t place = (uint32_t)hash & (TABLE_PLACES - 1);; place = (place + 1) & (TABLE_PLACES - 1)) {
    struct flow *flow = &table[place];
    if (flow->tx_packets + flow->rx_packets == 0) {
      if (flow_count == FLOWS_MAX) return NULL;
      flow_count++;
      flow->key = *key;
      return flow;
    }
    if (memcmp(&flow->key, key, sizeof(*key)) == 0) return flow;
  }
}

static void count(int from, struct key *key, uint32_t packets, uint64_t bytes) {
  if (from == 1) {
    struct key given = *key;
    key->source_port = given.destination_port;
    key->destination_port = given.source_port;
    memcpy(key->source, given.destination, sizeof(key->source));
    memcpy(key->destination, given.source, sizeof(key->destination));
  }
  struct flow *flow = find(key);
  if (flow == NULL) {
    uncounted_packets += packets;
  } else if (from == 0) {
    flow->tx_packets += packets;
    flow->tx_bytes += bytes;
  } else {
    flow->rx_packets += packets;
    flow->rx_bytes += bytes;
  }
}

/* Moves what waits at device `from`, up to one turn's measure. */
static void forward(const int *fds, int from) {
  uint8_t *start = buffer + HEADER_OFFSET;
  const uint8_t *packet = start + HEADER_BYTES;
  const struct virtio_net_hdr *header = (const struct virtio_net_hdr *)start;
  struct counts *sums = &counts[from];
  long turn_bytes = 0;
  for (int turn = 0; turn < READ_PACKETS_MAX && turn_bytes < READ_BYTES_MAX; turn++) {
    ssize_t got = read(fds[from], start, HEADER_BYTES + PACKET_BYTES_MAX);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < (ssize_t)HEADER_BYTES) fail("read a TUN device");
    int length = (int)(got - (ssize_t)HEADER_BYTES);
    turn_bytes += length;
    sums->reads++;
    sums->read_bytes += (uint64_t)length;
    struct key key;
    int transport = decode(packet, length, &key);
    if (transport < 0) {
      sums->undecodable++;
    } else {
      uint64_t bytes;
      uint32_t packets = segments(header, packet, length, transport, (int)key.proto, &bytes);
      sums->packets += packets;
      sums->bytes += bytes;
      count(from, &key, packets, bytes);
    }
    if (write(fds[1 - from], start, (size_t)got) < 0) sums->write_failed++;
  }
}

static void print_counts(const char *name, const struct counts *sums) {
  printf("\"%s\":{\"reads\":%lu,\"readBytes\":%lu,\"packets\":%lu,\"bytes\":%lu,\"undecodable\":%lu,"
         "\"writeFailed\":%lu},",
         name, sums->reads, sums->read_bytes, sums->packets, sums->bytes, sums->undecodable, sums->write_failed);
}

/* Prints all counts; `flow…` are the sums over the table, so that a lost count shows. */
static void report(void) {
  uint64_t packets = uncounted_packets, bytes = 0;
  for (uint32_t place = 0; place < TABLE_PLACES; place++) {
    packets += table[place].tx_packets + table[place].rx_packets;
    bytes += table[place].tx_bytes + table[place].rx_bytes;
  }
  printf("{");
  print_counts("a", &counts[0]);
  print_counts("b", &counts[1]);
  printf("\"flows\":%u,\"flowPackets\":%lu,\"flowBytes\":%lu}\n", flow_count, packets, bytes);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "Usage: tun_forward NAME_A NAME_B\n");
    return 2;
  }
  int fds[2] = {open_tun(argv[1]), open_tun(argv[2])};
  printf("ready\n");
  fflush(stdout);
  struct pollfd polled[3] = {
      {.fd = fds[0], .events = POLLIN}, {.fd = fds[1], .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  while (polled[2].revents == 0) {
    if (poll(polled, 3, -1) < 0 && errno != EINTR) fail("wait for packets");
    if (polled[0].revents & POLLIN) forward(fds, 0);
    if (polled[1].revents & POLLIN) forward(fds, 1);
  }
  report();
  return 0;
}
