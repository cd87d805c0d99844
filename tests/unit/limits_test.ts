/** Goal: limits that depend on one another keep to it when one is changed. */
import { test } from "node:test";
import assert from "node:assert/strict";
import * as limits from "../../src/limits.ts";

const UDP_PAYLOAD_BYTES_MAX = 65_507;
const IP_PACKET_BYTES_MAX = 65_535;

test("limits: a packet of the largest MTU fits one datagram when it is sealed", () => {
  const padded = Math.ceil(limits.MTU_BYTES_MAX / limits.PADDING_BYTES) * limits.PADDING_BYTES;
  const sealed = limits.TRANSPORT_HEADER_BYTES + padded + limits.TAG_BYTES;
  assert.ok(sealed <= UDP_PAYLOAD_BYTES_MAX);
});

test("limits: a packet slot takes any IP packet with what sealing adds", () => {
  const added = limits.TRANSPORT_HEADER_BYTES + limits.PADDING_BYTES + limits.TAG_BYTES;
  assert.ok(limits.PACKET_SLOT_BYTES >= IP_PACKET_BYTES_MAX + added);
  assert.equal(limits.PACKET_SLOT_BYTES % 64, 0, "slots start at a cache line");
  assert.equal((limits.PACKET_SLOT_BYTES / 64) % 2, 1, "and not all in the same sets");
});

test("limits: MTUs are in order", () => {
  assert.ok(limits.MTU_BYTES_MIN < limits.IPV6_MTU_BYTES_MIN);
  assert.ok(limits.IPV6_MTU_BYTES_MIN < limits.MTU_BYTES_DEFAULT);
  assert.ok(limits.MTU_BYTES_DEFAULT < limits.MTU_BYTES_MAX);
  assert.equal(limits.MTU_BYTES_DEFAULT, 1500 - limits.TUNNEL_OVERHEAD_BYTES);
});

test("limits: defaults lie within what may be configured", () => {
  assert.ok(limits.FLOWS_MAX_MIN <= limits.FLOWS_MAX_DEFAULT);
  assert.ok(limits.FLOWS_MAX_DEFAULT <= limits.FLOWS_MAX_MAX);
  assert.ok(limits.FLOWS_MAX_MIN >= limits.FLOWS_PER_FOLDED_ROW);
  assert.ok(limits.WINDOW_S_MIN * 1000 <= limits.WINDOW_MS_DEFAULT);
  assert.ok(limits.WINDOW_MS_DEFAULT <= limits.WINDOW_S_MAX * 1000);
});

test("limits: what waits for one peer cannot fill the pool of all", () => {
  assert.ok(limits.STAGED_PACKETS_MAX * 8 <= limits.STAGED_PACKETS_TOTAL_MAX);
});

test("limits: a local client is given up before it outlives the one who waits for the answer", () => {
  assert.ok(limits.LOCAL_REQUEST_MS_MAX < limits.CONTROL_ANSWER_MS_MAX);
  assert.ok(limits.CONTROL_REQUEST_BYTES_MAX <= limits.UAPI_REQUEST_BYTES_MAX);
  assert.ok(limits.CONFIG_BYTES_MAX <= limits.UAPI_REQUEST_BYTES_MAX);
});

test("limits: waits that double end where they may", () => {
  assert.ok(limits.RESOLVE_RETRY_MS_MIN < limits.RESOLVE_RETRY_MS_MAX);
});

test("limits: hash tables are powers of two", () => {
  for (const slots of [limits.FRAGMENT_CACHE_SLOTS, limits.LIMITER_SLOTS]) {
    assert.equal(slots & (slots - 1), 0);
  }
});

test("limits: the texts of one commit are kept whole by a reader", () => {
  const longest = limits.COMMIT_BODY_BYTES_MAX + limits.INGEST_BODY_BYTES_MAX;
  assert.ok(2 * longest < limits.READER_TEXTS_BYTES);
});
