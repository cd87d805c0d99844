/** Goal: events are the same however the network cuts them, and none is lost or made up when it breaks off. */
import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { EventReader } from "../../../../src/collector/page/client/event_stream.js";

interface Sent {
  readonly name: string;
  readonly data: string;
  readonly id: string;
}

/** An event as the collector writes it. */
function written({ name, data, id }: Sent): string {
  const lines = data.split("\n").map((line) => `data: ${line}\n`).join("");
  return `${name === "message" ? "" : `event: ${name}\n`}id: ${id}\n${lines}\n`;
}

const sent: fc.Arbitrary<Sent> = fc.record({
  name: fc.constantFrom("message", "window", "dropped"),
  data: fc.oneof(
    fc.string({ unit: "binary" }).map((text) => text.replace(/\r/g, "")),
    fc.constantFrom("", " x", ": x", "a\nb", "\n", "data: x", "id: 9", '{"a":1}', "\u2028"),
  ),
  id: fc.nat().map(String),
}, { noNullPrototype: true });

function readAll(reader: EventReader, text: string, cuts: readonly number[]): Sent[] {
  const places = [
    0,
    ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b),
    text.length,
  ];
  return places.slice(1).flatMap((to, index) => reader.read(text.slice(places[index], to)));
}

test("EventReader reads the same events from any pieces", () => {
  const filler = fc.constantFrom("", ": live\n\n", "\n", "retry: 2000\n\n", "unknown: x\n", ":\n");
  fc.assert(
    fc.property(
      fc.array(fc.tuple(filler, sent)),
      fc.array(fc.nat()),
      fc.boolean(),
      (parts, cuts, hasReturns) => {
        const text = parts.map(([before, event]) => before + written(event)).join("");
        const wire = hasReturns ? text.replaceAll("\n", "\r\n") : text;
        const reader = new EventReader();
        assert.deepEqual(readAll(reader, wire, cuts), parts.map(([, event]) => event));
        assert.equal(reader.id, parts.at(-1)?.[1].id ?? "");
      },
    ),
    { seed: 1, numRuns: 1_000 },
  );
});

test("EventReader after a stream that broke off anywhere goes on behind the newest whole event", () => {
  fc.assert(
    fc.property(fc.array(sent, { minLength: 1, maxLength: 6 }), fc.nat(), (all, cut) => {
      const events = all.map((event, index) => ({ ...event, id: String(index + 1) }));
      const text = events.map(written).join("");
      const reader = new EventReader();
      const found = reader.read(text.slice(0, cut % (text.length + 1)));
      // The collector goes on behind the id that it is told.
      const next = events.filter(({ id }) => Number(id) > Number(reader.id));
      reader.reset();
      found.push(...reader.read(next.map(written).join("")));
      assert.deepEqual(found, events);
    }),
    { seed: 1, numRuns: 1_000 },
  );
});

test("EventReader follows the standard where the collector does not go", () => {
  const read = (text: string) => new EventReader().read(text);
  assert.deepEqual(read("data\n\n"), [{ name: "message", data: "", id: "" }]);
  assert.deepEqual(read("event: x\n\n"), []);
  assert.deepEqual(read("data:x\ndata:  y\n\n")[0].data, "x\n y");
  assert.deepEqual(read("data: x\n"), []);
  // An id holds for the events after it, too; one with NUL is none.
  const ids = read("id: 1\ndata: a\n\ndata: b\n\nid: 2\u0000\ndata: c\n\nid\ndata: d\n\n");
  assert.deepEqual(ids.map(({ id }) => id), ["1", "1", "1", ""]);
  // But not one of an event that was never whole.
  const broken = new EventReader();
  broken.read("id: 7\nevent: x\ndata: a");
  broken.reset();
  assert.deepEqual(broken.read("data: b\n\n"), [{ name: "message", data: "b", id: "" }]);
  // A name does not.
  const names = read("event: x\ndata: a\n\ndata: b\n\n").map(({ name }) => name);
  assert.deepEqual(names, ["x", "message"]);
});
