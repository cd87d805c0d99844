// Goal: both implementations of CryptoPort give what the RFCs say, refuse what they must refuse, and agree.
// Method: vectors of the RFCs; a slow twin written from RFC 8439; random inputs given to both; damaged messages.
import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { CryptoPort, NativeBuffer } from "../../../src/ports.ts";
import { chooseCrypto, openCrypto } from "../../../src/platform/crypto.ts";
import { cryptoProblem } from "../../../src/platform/crypto_self_test.ts";
import { loadLibrary } from "../../../src/platform/ffi.ts";
import { openLibcrypto } from "../../../src/platform/libcrypto.ts";
import { allocateNative } from "../../../src/platform/native_buffer.ts";
import { NOBLE_VERSION, openNoble } from "../../../src/platform/noble.ts";
import { LIBCRYPTO } from "../../../src/platform/signatures.ts";
import { nonceTwin, sealTwin } from "../../reference/aead_twin.ts";

const SEED = 20261123;
const TAG_BYTES = 16;

const libcrypto = tryLibcrypto();
const noble = openNoble();
const ports: readonly CryptoPort[] = libcrypto === null ? [noble] : [libcrypto, noble];
const noLibcrypto = libcrypto === null ? "OpenSSL 3 is not installed" : false;

/** null only where there is no OpenSSL 3: one that is there but fails its self test must fail these tests. */
function tryLibcrypto(): CryptoPort | null {
  try {
    loadLibrary(LIBCRYPTO);
  } catch {
    return null;
  }
  return openLibcrypto();
}

function hex(text: string): Uint8Array {
  return Uint8Array.from(text.replace(/\s/g, "").match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function counting(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (from + index) & 0xff);
}

function made(length: number, fill: (output: Uint8Array) => unknown): string {
  const output = new Uint8Array(length);
  fill(output);
  return hexOf(output);
}

/** Memory as tests of pure code have it: no addresses. */
function plainBuffer(bytes: number): NativeBuffer {
  const memory = new Uint8Array(bytes);
  return { bytes: memory, view: new DataView(memory.buffer) };
}

const SUNSCREEN = new TextEncoder().encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, " +
    "sunscreen would be it.",
);

test("sealTwin() gives RFC 8439 §2.8.2, so that it may judge the others", () => {
  const sealed = sealTwin(
    counting(32, 0x80),
    hex("070000004041424344454647"),
    SUNSCREEN,
    hex("50515253c0c1c2c3c4c5c6c7"),
  );
  assert.equal(
    hexOf(sealed),
    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
      "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
      "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
      "3ff4def08e4b7a9de576d26586cec64b6116" + "1ae10b594f09e26a7e902ecbd0600691",
  );
});

test("NOBLE_VERSION is what deno.json pins", () => {
  const path = fileURLToPath(new URL("../../../deno.json", import.meta.url));
  const { imports } = JSON.parse(readFileSync(path, "utf8"));
  for (const part of ["ciphers", "curves", "hashes"]) {
    assert.equal(imports[`@noble/${part}`], `npm:@noble/${part}@${NOBLE_VERSION}`);
  }
});

test(
  "chooseCrypto() takes libcrypto where it can, noble where asked",
  { skip: noLibcrypto },
  () => {
    assert.match(chooseCrypto().crypto.name, /^libcrypto 3\.\d+\.\d+/);
    assert.equal(chooseCrypto().obstacle, null);
    assert.match(openCrypto("libcrypto").name, /^libcrypto/);
    assert.equal(openCrypto("noble").name, `noble ${NOBLE_VERSION}`);
  },
);

test("cryptoProblem() finds each kind of wrong answer", () => {
  const broken = (change: Partial<CryptoPort>): string | null =>
    cryptoProblem(
      new Proxy(noble, {
        get: (port, name) => Reflect.get(change, name) ?? Reflect.get(port, name).bind?.(port),
      }),
    );
  assert.equal(broken({}), null);
  assert.match(broken({ hash: (output) => output.fill(1) })!, /BLAKE2s/);
  assert.match(broken({ mac: (output) => output.fill(1) })!, /keyed BLAKE2s/);
  assert.match(broken({ x25519: () => true })!, /X25519/);
  const accepting = { seal: () => {}, open: () => true, destroy: () => {} };
  assert.match(broken({ aeadKey: () => accepting })!, /ChaCha20-Poly1305/);
  const gullible = (key: Uint8Array) => ({ ...bound(noble.aeadKey(key)), open: () => true });
  assert.match(broken({ aeadKey: gullible })!, /ChaCha20-Poly1305/);
});

function bound(key: ReturnType<CryptoPort["aeadKey"]>): ReturnType<CryptoPort["aeadKey"]> {
  return {
    seal: (...args) => key.seal(...args),
    open: (...args) => key.open(...args),
    destroy: () => key.destroy(),
  };
}

for (const port of ports) {
  const kind = port.name.split(" ")[0];

  test(`${kind}: hash() gives BLAKE2s-256 of the inputs, one after the other`, () => {
    // RFC 7693 appendix B.
    const abc = new TextEncoder().encode("abc");
    const expected = "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
    assert.equal(made(32, (output) => port.hash(output, abc)), expected);
    const split = [abc.subarray(0, 1), abc.subarray(1)] as const;
    assert.equal(made(32, (output) => port.hash(output, ...split)), expected);
    assert.equal(made(32, (output) => port.hash(output, new Uint8Array(0), abc)), expected);
    assert.equal(
      made(32, (output) => port.hash(output, counting(65))),
      "1b53ee94aaf34e4b159d48de352c7f0661d0a40edff95a0b1639b4090e974472",
    );
    assert.throws(() => port.hash(new Uint8Array(31), abc), RangeError);
  });

  test(`${kind}: hash() may overwrite its input`, () => {
    const state = counting(32);
    const expected = made(32, (output) => port.hash(output, counting(32), SUNSCREEN));
    port.hash(state, state, SUNSCREEN);
    assert.equal(hexOf(state), expected);
  });

  test(`${kind}: mac() gives keyed BLAKE2s of 16 and 32 bytes`, () => {
    // BLAKE2 reference, blake2s-kat.txt: key 00..1f, inputs of 0, 1 and 255 bytes.
    const kat = [
      [0, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49"],
      [1, "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1"],
      [255, "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd"],
    ] as const;
    for (const [length, expected] of kat) {
      assert.equal(made(32, (out) => port.mac(out, counting(32), counting(length))), expected);
    }
    // Python's hashlib.blake2s(bytes(range(255)), key=bytes(range(16)), digest_size=16).
    const short = "b2953795123bd6b890ef3b6fa8b9bae2";
    assert.equal(made(16, (out) => port.mac(out, counting(16), counting(255))), short);
    const [head, tail] = [counting(255).subarray(0, 70), counting(255).subarray(70)];
    assert.equal(made(16, (out) => port.mac(out, counting(16), head, tail)), short);
  });

  test(`${kind}: hmac() gives HMAC-BLAKE2s for keys on both sides of the block length`, () => {
    // Python's hmac.new(bytes(range(n)), bytes(range(100)), hashlib.blake2s).
    const expected = [
      [32, "a81c95080ba2a7c4ed1b7b4c21dec2c4fd6dc9f03ff37b6d65289dc95a7d1ef1"],
      [64, "647576eb06d7546ce6db9b3c0c1509a64cc7fae9cb732ee3845e7b486ad26edc"],
      [65, "4d894a9b0c1b7a406335539f60699f246e0a65bf63a2b24b18393b71e4adce5e"],
      [100, "1363768d5b71a5526a31dc9cb75b870b56008d49eb8248cb54110a71411c8866"],
    ] as const;
    const message = counting(100);
    for (const [length, digest] of expected) {
      assert.equal(made(32, (out) => port.hmac(out, counting(length), message)), digest);
      const split = [message.subarray(0, 33), message.subarray(33)] as const;
      assert.equal(made(32, (out) => port.hmac(out, counting(length), ...split)), digest);
    }
    const own = counting(32);
    port.hmac(own, own, message);
    assert.equal(hexOf(own), expected[0][1], "output may be the key");
  });

  test(`${kind}: x25519() gives the vectors of RFC 7748 §5.2`, () => {
    const vectors = [
      {
        scalar: "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        point: "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        product: "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
      },
      {
        scalar: "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        point: "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        product: "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
      },
    ];
    for (const { scalar, point, product } of vectors) {
      const output = new Uint8Array(32);
      assert.equal(port.x25519(output, hex(scalar), hex(point)), true);
      assert.equal(hexOf(output), product);
    }
  });

  test(`${kind}: x25519() iterated 1,000 times gives RFC 7748 §5.2`, () => {
    let scalar = hex("09" + "00".repeat(31));
    let point: Uint8Array = scalar.slice();
    for (let round = 1; round <= 1000; round++) {
      const product = new Uint8Array(32);
      port.x25519(product, scalar, point);
      point = scalar;
      scalar = product;
      if (round === 1) {
        assert.equal(
          hexOf(scalar),
          "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
        );
      }
    }
    assert.equal(
      hexOf(scalar),
      "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
    );
  });

  test(`${kind}: x25519Public() and x25519() give RFC 7748 §6.1`, () => {
    const bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const alice = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert.equal(
      made(32, (output) => port.x25519Public(output, bob)),
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    );
    assert.equal(
      made(32, (output) => port.x25519(output, bob, alice)),
      "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    );
  });

  test(`${kind}: x25519() refuses points of low order`, () => {
    // Points of order 1, 2, 4 and 8, and their representatives at and above the prime (cr.yp.to/ecdh.html).
    const points = [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for (const point of points) {
      const output = new Uint8Array(32).fill(1);
      assert.equal(port.x25519(output, counting(32, 7), hex(point)), false, point);
      assert.equal(hexOf(output), "00".repeat(32));
    }
    // And goes on working after a refusal.
    assert.equal(port.x25519(new Uint8Array(32), counting(32, 7), counting(32, 9)), true);
  });

  test(`${kind}: x25519() ignores the top bit of a point and clamps the scalar`, () => {
    const point = counting(32, 9);
    const same = point.slice();
    same[31]! ^= 0x80;
    const scalar = counting(32, 3);
    const unclamped = scalar.slice();
    unclamped[0]! ^= 7;
    unclamped[31]! ^= 0x80;
    const expected = made(32, (output) => port.x25519(output, scalar, point));
    assert.equal(made(32, (output) => port.x25519(output, unclamped, same)), expected);
    const publicKey = made(32, (output) => port.x25519Public(output, scalar));
    assert.equal(made(32, (output) => port.x25519Public(output, unclamped)), publicKey);
  });

  test(`${kind}: wrong lengths of keys and outputs are refused before C sees them`, () => {
    const [key, short] = [counting(32), counting(31)];
    assert.throws(() => port.x25519(short, key, key), RangeError);
    assert.throws(() => port.x25519(new Uint8Array(32), short, key), RangeError);
    assert.throws(() => port.x25519(new Uint8Array(32), key, short), RangeError);
    assert.throws(() => port.x25519Public(short, key), RangeError);
    assert.throws(() => port.x25519Public(new Uint8Array(32), short), RangeError);
    assert.throws(() => port.hmac(short, key, key), RangeError);
    assert.throws(() => port.aeadKey(short), RangeError);
    assert.throws(() => port.aeadSeal(new Uint8Array(40), short, key, key));
    assert.throws(() => port.aeadSeal(new Uint8Array(47), key, key, key));
    assert.throws(() => port.aeadOpen(new Uint8Array(15), key, key, key));
    assert.throws(() => port.xaeadSeal(new Uint8Array(48), key, short, key, key));
  });

  test(`${kind}: xaeadSeal() and xaeadOpen() give draft-irtf-cfrg-xchacha-03 §A.3.1`, () => {
    const key = counting(32, 0x80);
    const nonce = counting(24, 0x40);
    const associated = hex("50515253c0c1c2c3c4c5c6c7");
    const expected = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb" +
      "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452" +
      "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9" +
      "21f9664c97637da9768812f615c68b13b52e" + "c0875924c1c7987947deafd8780acf49";
    const sealed = made(
      SUNSCREEN.length + TAG_BYTES,
      (output) => port.xaeadSeal(output, key, nonce, SUNSCREEN, associated),
    );
    assert.equal(sealed, expected);
    const opened = new Uint8Array(SUNSCREEN.length);
    assert.equal(port.xaeadOpen(opened, key, nonce, hex(expected), associated), true);
    assert.deepEqual(opened, SUNSCREEN);
    nonce[23]! ^= 1;
    assert.equal(port.xaeadOpen(opened, key, nonce, hex(expected), associated), false);
  });

  test(`${kind}: aeadSeal() equals the twin and aeadOpen() is its inverse`, () => {
    const lengths = [[0, 0], [0, 32], [1, 0], [12, 32], [32, 32], [64, 17], [65, 16]] as const;
    for (const [textBytes, associatedBytes] of lengths) {
      const [key, text] = [counting(32, 5), counting(textBytes, 77)];
      const associated = counting(associatedBytes, 9);
      const sealed = new Uint8Array(textBytes + TAG_BYTES);
      port.aeadSeal(sealed, key, text, associated);
      assert.deepEqual(sealed, sealTwin(key, new Uint8Array(12), text, associated));
      const opened = new Uint8Array(textBytes);
      assert.equal(port.aeadOpen(opened, key, sealed, associated), true);
      assert.deepEqual(opened, text);
      for (let at = 0; at < sealed.length; at++) {
        const damaged = sealed.slice();
        damaged[at]! ^= 1 << (at & 7);
        assert.equal(port.aeadOpen(opened, key, damaged, associated), false, `byte ${at}`);
      }
      assert.equal(port.aeadOpen(opened, key, sealed, counting(associatedBytes + 1)), false);
    }
    assert.equal(port.aeadOpen(new Uint8Array(0), counting(32), counting(15), counting(0)), false);
  });

  for (const [memory, allocate] of [["native", allocateNative], ["plain", plainBuffer]] as const) {
    test(`${kind}: seal() in ${memory} memory equals the twin at every counter size`, () => {
      const key = counting(32, 5);
      const aead = port.aeadKey(key);
      const counters = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 53 - 1];
      for (const counter of counters) {
        for (const length of [0, 1, 15, 16, 64, 1420]) {
          const offset = (length + counter) % 61;
          const buffer: NativeBuffer = allocate(1600);
          buffer.bytes.fill(0xa5);
          buffer.bytes.set(counting(length, 3), offset);
          aead.seal(buffer, offset, length, counter);
          const end = offset + length + TAG_BYTES;
          const expected = sealTwin(key, nonceTwin(counter), counting(length, 3));
          assert.deepEqual(buffer.bytes.slice(offset, end), expected, `${counter} ${length}`);
          assert.ok(buffer.bytes.subarray(0, offset).every((byte) => byte === 0xa5));
          assert.ok(buffer.bytes.subarray(end).every((byte) => byte === 0xa5));
          assert.equal(aead.open(buffer, offset, length + TAG_BYTES, counter), true);
          assert.deepEqual(buffer.bytes.slice(offset, end - TAG_BYTES), counting(length, 3));
        }
      }
      aead.destroy();
    });
  }

  test(`${kind}: open() refuses every flipped bit, wrong counters, wrong keys and less than a tag`, () => {
    const aead = port.aeadKey(counting(32, 5));
    const other = port.aeadKey(counting(32, 6));
    const length = 40;
    const sealed = allocateNative(length + TAG_BYTES);
    aead.seal(sealed, 0, length, 9);
    const copy = allocateNative(sealed.bytes.length);
    const opens = (key: typeof aead, counter: number, change: (bytes: Uint8Array) => void) => {
      copy.bytes.set(sealed.bytes);
      change(copy.bytes);
      return key.open(copy, 0, copy.bytes.length, counter);
    };
    for (let bit = 0; bit < sealed.bytes.length * 8; bit++) {
      const flip = (bytes: Uint8Array): void => {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
      };
      assert.equal(opens(aead, 9, flip), false, `bit ${bit}`);
    }
    assert.equal(opens(aead, 8, () => {}), false);
    assert.equal(opens(aead, 9 + 2 ** 32, () => {}), false);
    assert.equal(opens(other, 9, () => {}), false);
    assert.equal(opens(aead, 9, () => {}), true, "refusals leave no trace");
    assert.equal(aead.open(copy, 0, TAG_BYTES - 1, 9), false);
    aead.destroy();
    other.destroy();
  });

  test(`${kind}: seal() and open() refuse bytes outside the buffer`, () => {
    const aead = port.aeadKey(counting(32));
    const buffer = allocateNative(64);
    aead.seal(buffer, 0, 48, 0);
    assert.throws(() => aead.seal(buffer, 0, 49, 0), RangeError);
    assert.throws(() => aead.seal(buffer, 49, 0, 0), RangeError);
    assert.throws(() => aead.seal(buffer, -1, 16, 0), RangeError);
    assert.throws(() => aead.open(buffer, 1, 64, 0), RangeError);
    assert.throws(() => aead.open(buffer, 0, 65, 0), RangeError);
    aead.destroy();
  });

  test(`${kind}: destroy() may be called twice`, () => {
    const aead = port.aeadKey(counting(32));
    aead.destroy();
    aead.destroy();
  });

  test(`${kind}: random() fills all of its output, of any length and memory`, () => {
    for (const output of [new Uint8Array(200_000), new Uint8Array(new SharedArrayBuffer(4096))]) {
      port.random(output);
      const seen = new Set(output);
      assert.equal(seen.size, 256);
      assert.ok(output.subarray(-64).some((byte) => byte !== 0));
    }
    port.random(new Uint8Array(0));
  });
}

test("libcrypto: a destroyed key is not followed into freed memory", { skip: noLibcrypto }, () => {
  const aead = libcrypto!.aeadKey(counting(32));
  aead.destroy();
  assert.throws(() => aead.seal(allocateNative(64), 0, 16, 0), /destroyed/);
});

test("libcrypto and noble agree on random inputs", { skip: noLibcrypto }, () => {
  const bytes = (maxLength: number) => fc.uint8Array({ maxLength, size: "max" });
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const law = fc.property(
    key,
    key,
    bytes(300),
    bytes(200),
    fc.maxSafeNat(),
    (key, other, text, more, counter) => {
      const both = (length: number, fill: (port: CryptoPort, output: Uint8Array) => unknown) => {
        const results = ports.map((port) => made(length, (output) => fill(port, output)));
        assert.equal(results[0], results[1]);
      };
      both(32, (port, output) => port.hash(output, text, more));
      both(32, (port, output) => port.mac(output, key, text, more));
      both(16, (port, output) => port.mac(output, other.subarray(0, 17), more));
      both(32, (port, output) => port.hmac(output, more, text));
      both(32, (port, output) => port.x25519(output, key, other));
      both(32, (port, output) => port.x25519Public(output, key));
      both(text.length + TAG_BYTES, (port, output) => port.aeadSeal(output, key, text, more));
      const nonce = other.subarray(0, 24);
      both(
        text.length + TAG_BYTES,
        (port, output) => port.xaeadSeal(output, key, nonce, text, more),
      );
      both(text.length + TAG_BYTES, (port, output) => {
        output.set(text);
        const buffer = { bytes: output, view: new DataView(output.buffer) };
        const aead = port.aeadKey(key);
        aead.seal(buffer, 0, text.length, counter);
        aead.destroy();
      });
    },
  );
  fc.assert(law, { seed: SEED, numRuns: 40 });
});

test(
  "libcrypto: seal() and open() allocate nothing per packet",
  { skip: noLibcrypto || ("Bun" in globalThis && "counts V8's heap") },
  () => {
    const aead = libcrypto!.aeadKey(counting(32));
    const slots = 16;
    const slotBytes = 2048;
    const buffer = allocateNative(slots * slotBytes);
    let opened = 0;
    const round = (packets: number): void => {
      for (let packet = 0; packet < packets; packet++) {
        const offset = (packet % slots) * slotBytes + 16;
        aead.seal(buffer, offset, 1420, packet);
        if (aead.open(buffer, offset, 1420 + TAG_BYTES, packet)) opened++;
      }
    };
    round(20_000);
    let least = Infinity;
    const packets = 2_000;
    for (let attempt = 0; attempt < 20; attempt++) {
      const before = process.memoryUsage().heapUsed;
      round(packets);
      const grown = process.memoryUsage().heapUsed - before;
      // A collection in between makes it negative: such a round says nothing.
      if (grown >= 0) least = Math.min(least, grown);
    }
    assert.equal(opened, 20_000 + 20 * packets);
    assert.ok(least / packets < 1, `${least / packets} bytes per packet`);
    aead.destroy();
  },
);
