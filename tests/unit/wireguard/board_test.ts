// Goal: what carriers read of the board is one session's or one peer's, or nothing; places are not used again too soon.
// Method: the protocol's side and a carrier's over one memory, step by step; random sessions against a Map.
import { test } from "node:test";
import assert from "node:assert/strict";
import { ENDPOINT_WORDS } from "../../../src/ports.ts";
import { Board } from "../../../src/wireguard/board.ts";
import { createBoard, NEWS, PEER, SESSION } from "../../../src/wireguard/board_layout.ts";
import { CarrierBoard, PEER_WORDS } from "../../../src/wireguard/carrier_board.ts";
import { SessionKeys } from "../../../src/wireguard/noise.ts";
import { SeededRandom } from "../../../src/platform/memory.ts";

function boards(sessionsMax = 8, peersMax = 4) {
  const memory = createBoard({ peersMax, sessionsMax, carriers: 2 });
  const heard = { ends: 0, wakes: 0 };
  const board = new Board(memory, () => heard.ends++);
  const [one, two] = [0, 1].map((index) => new CarrierBoard(memory, index, () => heard.wakes++));
  return { board, one: one!, two: two!, heard };
}

function sessionOf(localIndex: number, peerSlot = 0) {
  const keys = new SessionKeys();
  keys.send.fill(localIndex & 0xff);
  keys.receive.fill((localIndex >>> 8) & 0xff);
  const remoteIndex = (localIndex ^ 0xffff_ffff) >>> 0;
  return { peerSlot, localIndex, remoteIndex, isInitiator: true, birthMs: 5.5, keys };
}

test("a carrier finds a session from when it is shown until it ends, and reads it as it was written", () => {
  const { board, one, heard } = boards();
  board.addPeer(0);
  const generation = board.addPeer(0);
  const session = sessionOf(0xfedc_ba98);
  const place = board.reserve(session)!;
  assert.equal(one.find(session.localIndex), -1);
  assert.equal(one.take(place.number), null, "it is not confirmed");
  place.publish();
  assert.equal(one.find(session.localIndex), place.number);
  const { keys, place: held, localIndex, ...found } = one.take(place.number)!;
  assert.equal(localIndex >>> 0, session.localIndex);
  const { remoteIndex, isInitiator, birthMs } = session;
  const expected = { remoteIndex, isInitiator, birthMs, peerSlot: 0, peerGeneration: generation };
  assert.deepEqual(found, expected);
  assert.deepEqual([keys.send, keys.receive], [session.keys.send, session.keys.receive]);
  assert.equal(held.hasEnded, false);
  const { ends } = one;
  place.end();
  assert.ok(held.hasEnded);
  assert.equal(one.find(session.localIndex), -1);
  assert.deepEqual([one.ends, heard.ends], [ends + 1, 1]);
  const base = board.views.session(place.number);
  const onBoard = board.views.words.subarray(base + SESSION.SEND_KEY, base + SESSION.BLOCKS);
  assert.ok(onBoard.every((word) => word === 0), "the keys are wiped");
});

test("the place of a session that a carrier still has is not given to another", () => {
  const { board, one, two, heard } = boards(2);
  const first = board.reserve(sessionOf(1))!;
  first.publish();
  const [a, b] = [one.take(first.number)!, two.take(first.number)!];
  assert.equal(a.place.shared.takeBlock(), 0);
  first.end();
  const second = board.reserve(sessionOf(2))!;
  assert.notEqual(second.number, first.number);
  assert.equal(board.reserve(sessionOf(3)), null, "the other place is held");
  a.place.end();
  assert.equal(board.reserve(sessionOf(3)), null, "by the other carrier, too");
  b.place.end();
  const third = board.reserve(sessionOf(3))!;
  assert.equal(third.number, first.number);
  assert.equal(third.shared.takeBlock(), 0, "it begins anew");
  third.end();
  assert.equal(heard.ends, 1, "nobody had it");
});

test("find() equals a Map over sessions that come and go, colliding indices included", () => {
  const random = new SeededRandom(1);
  const { board, one } = boards(32);
  const twin = new Map<number, ReturnType<Board["reserve"]>>();
  for (let turn = 0; turn < 5_000; turn++) {
    const index = (1 + random.below(12)) * 2 ** random.below(29) | 0;
    const known = twin.get(index);
    if (known !== undefined) {
      known!.end();
      twin.delete(index);
    } else if (twin.size < 32) {
      const place = board.reserve(sessionOf(index))!;
      place.publish();
      twin.set(index, place);
    }
    const asked = (1 + random.below(12)) * 2 ** random.below(29) | 0;
    assert.equal(one.find(asked), twin.get(asked)?.number ?? -1);
  }
});

test("a peer is read whole, or not at all while it is being written", () => {
  const { board, one } = boards();
  const generation = board.addPeer(2);
  const endpoint = Uint32Array.from({ length: ENDPOINT_WORDS }, (_, word) => 2 ** 32 - 1 - word);
  const peer = { endpoint, overlayFamily: 6, overlayAddress: Uint32Array.of(1, 2, 3, 0xffff_ffff) };
  const place = board.reserve(sessionOf(9, 2))!;
  board.writePeer(2, peer, place);
  const words = new Int32Array(PEER_WORDS);
  const version = one.readPeer(2, words);
  assert.ok(version >= 0 && version === one.version(2));
  assert.equal(words[PEER.GENERATION], generation);
  assert.equal(words[PEER.SENDING], place.number + 1);
  assert.equal(words[PEER.OVERLAY_FAMILY], 6);
  assert.deepEqual(Uint32Array.from(words.subarray(PEER.ENDPOINT)), endpoint);
  Atomics.add(board.views.words, board.views.peer(2) + PEER.VERSION, 1);
  assert.equal(one.readPeer(2, words), -1);
});

test("news come once, from each carrier, and none of a peer that is gone", () => {
  const { board, one, two, heard } = boards();
  const generation = board.addPeer(1);
  for (const carrier of [one, two]) carrier.beginPeer(1, generation);
  const news: number[][] = [];
  const take = () => board.takeNews((slot, bits, movedTo) => news.push([slot, bits, movedTo[0]!]));
  const endpoint = new Uint32Array(ENDPOINT_WORDS).fill(4);
  one.say(1, NEWS.LOOK);
  one.say(1, NEWS.RENEW);
  two.sayMoved(1, endpoint, 0);
  assert.equal(heard.wakes, 2, "once for each carrier");
  take();
  take();
  assert.deepEqual(news, [[1, NEWS.LOOK | NEWS.RENEW, 0], [1, NEWS.MOVED, 4]]);
  one.say(1, NEWS.LOOK);
  assert.equal(heard.wakes, 3);
  board.addPeer(1);
  take();
  assert.equal(news.length, 2);
  // More often than the notes are long.
  one.beginPeer(1, generation + 1);
  for (let count = 0; count < 20; count++) {
    one.say(1, NEWS.LOOK);
    take();
  }
  assert.equal(news.length, 22);
});

test("sums and last times are of carriers that know the peer which is there now", () => {
  const { board, one, two } = boards();
  const generation = board.addPeer(3);
  const { floats } = board.views;
  one.beginPeer(3, generation);
  two.beginPeer(3, generation - 1);
  floats[one.numbers(3)] = 5;
  floats[two.numbers(3)] = 7;
  floats[one.numbers(3) + 4] = 100;
  floats[two.numbers(3) + 4] = 200;
  const datagrams = (one.numbers(3) * 2) - board.views.carried(0, 3);
  assert.deepEqual([board.sum(3, datagrams), board.lastMs(3)], [5, 100]);
  two.beginPeer(3, generation);
  assert.deepEqual([board.sum(3, datagrams), board.lastMs(3)], [5, 100], "it begins from nothing");
});
