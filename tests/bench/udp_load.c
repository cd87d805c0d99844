/*
 * Sends and receives UDP with as little CPU time as Linux allows, so that a tunnel between the two is what is measured.
 * iperf3 makes a system call for each datagram; on two cores that its two ends share with both ends of a tunnel,
 * it takes more of them than the tunnel does.
 *
 *     gcc -O2 -o udp_load udp_load.c
 *     udp_load receive ADDRESS PORT
 *     udp_load send ADDRESS PORT PAYLOAD_BYTES DATAGRAMS_PER_SECOND MILLISECONDS SEGMENTED
 *
 * `receive` prints "ready", then counts what arrives, by UDP_GRO, until standard input can be read or is closed; then
 * it takes what still waits and prints one line of JSON. `send` sends at an even rate, 0 = as fast as it goes, and
 * prints how much: SEGMENTED 1 = many datagrams in one send by UDP_SEGMENT, as senders of QUIC do; 0 = each its own,
 * many in one sendmmsg(2).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Datagrams of one system call; the kernel takes 64 segments since 4.18. */
#define BATCH_MAX 64
/* A receiver that is not woken for so long loses nothing at 1 Gbit/s. */
#define RECEIVE_BUFFER_BYTES (16 << 20)
#define DATAGRAM_BYTES_MAX 65507
#define NS_PER_S 1000000000ull
/* Between two looks at what is due: bursts no longer than a network interface makes them. */
#define PAUSE_NS 100000

static void fail(const char *what) {
  fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in address_of(const char *text, const char *port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) fail("read the address");
  return address;
}

static uint64_t datagrams;
static uint64_t bytes;

/* Counts all that waits. */
static void drain(int fd) {
  static uint8_t buffer[65536];
  for (;;) {
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {.iov_base = buffer, .iov_len = sizeof(buffer)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return;
    int segment = 0;
    for (struct cmsghdr *part_of = CMSG_FIRSTHDR(&message); part_of; part_of = CMSG_NXTHDR(&message, part_of)) {
      if (part_of->cmsg_level == SOL_UDP && part_of->cmsg_type == UDP_GRO) {
        memcpy(&segment, CMSG_DATA(part_of), sizeof(segment));
      }
    }
    datagrams += segment == 0 ? 1 : ((uint64_t)length + (uint64_t)segment - 1) / (uint64_t)segment;
    bytes += (uint64_t)length;
  }
}

static int receive(char **argv) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = address_of(argv[2], argv[3]);
  int on = 1, size = RECEIVE_BUFFER_BYTES;
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) fail("bind a UDP socket");
  if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) < 0) fail("set UDP_GRO");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0) fail("enlarge the buffer");
  printf("ready\n");
  fflush(stdout);
  struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
  do {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) fail("wait for datagrams");
    drain(fd);
  } while (polled[1].revents == 0);
  printf("{\"datagrams\":%lu,\"bytes\":%lu}\n", datagrams, bytes);
  return 0;
}

/* Sends `count` datagrams. Returns how many were taken. */
static int send_batch(int fd, uint8_t *payload, size_t payload_bytes, int count, int segmented) {
  if (segmented) {
    ssize_t sent = send(fd, payload, payload_bytes * (size_t)count, 0);
    return sent < 0 ? 0 : count;
  }
  static struct iovec parts[BATCH_MAX];
  static struct mmsghdr messages[BATCH_MAX];
  for (int index = 0; index < count; index++) {
    parts[index] = (struct iovec){.iov_base = payload, .iov_len = payload_bytes};
    messages[index].msg_hdr = (struct msghdr){.msg_iov = &parts[index], .msg_iovlen = 1};
  }
  int sent = sendmmsg(fd, messages, (unsigned)count, 0);
  return sent < 0 ? 0 : sent;
}

static int send_all(char **argv) {
  static uint8_t payload[BATCH_MAX * DATAGRAM_BYTES_MAX];
  size_t payload_bytes = (size_t)atoi(argv[4]);
  double per_second = atof(argv[5]);
  uint64_t duration_ns = (uint64_t)atoi(argv[6]) * 1000000ull;
  int segmented = atoi(argv[7]);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = address_of(argv[2], argv[3]);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) fail("connect a UDP socket");
  if (payload_bytes < 1 || payload_bytes > DATAGRAM_BYTES_MAX) fail("send so many bytes");
  int segment = (int)payload_bytes, batch = BATCH_MAX;
  if (segmented) {
    if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)) < 0) fail("set UDP_SEGMENT");
    if (batch > DATAGRAM_BYTES_MAX / segment) batch = DATAGRAM_BYTES_MAX / segment;
  }
  uint64_t sent = 0, refused = 0, start = now_ns(), elapsed = 0;
  while ((elapsed = now_ns() - start) < duration_ns) {
    int count = batch;
    if (per_second > 0) {
      double due = per_second * (double)elapsed / (double)NS_PER_S - (double)(sent + refused);
      if (due < 1) {
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        nanosleep(&pause, NULL);
        continue;
      }
      if (due < count) count = (int)due;
    }
    int taken = send_batch(fd, payload, payload_bytes, count, segmented);
    sent += (uint64_t)taken;
    refused += (uint64_t)(count - taken);
  }
  printf("{\"datagrams\":%lu,\"refused\":%lu,\"seconds\":%.6f}\n", sent, refused, (double)elapsed / (double)NS_PER_S);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "receive") == 0) return receive(argv);
  if (argc == 8 && strcmp(argv[1], "send") == 0) return send_all(argv);
  fprintf(stderr, "Usage: udp_load receive ADDRESS PORT | send ADDRESS PORT BYTES PER_SECOND MILLISECONDS SEGMENTED\n");
  return 2;
}
