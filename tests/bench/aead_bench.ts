/**
 * Question: what does sealing one packet with libcrypto cost, by the way in which the nonce is set and by length, and
 * which of the calls takes it? Budget: OpenSSL's own loop (`openssl speed -aead -evp chacha20-poly1305 -bytes 1424`)
 * is the limit.
 *
 * Traffic: 128 packets in one buffer of 186 KB. Lengths: an acknowledgement, a small packet, a multiple of the
 * cipher's 64-byte blocks, and a full packet of wg-quick's MTU, which is none. The ways take turns, round by round.
 *
 *   deno run -A tests/bench/aead_bench.ts [rounds]        bun run --no-install tests/bench/aead_bench.ts [rounds]
 */
import process from "node:process";
import { TAG_BYTES } from "../../src/limits.ts";
import { allocateNative } from "../../src/platform/native_buffer.ts";
import { cString, loadLibrary } from "../../src/platform/ffi.ts";
import { AeadContext, LibcryptoAeadKey } from "../../src/platform/libcrypto_aead.ts";
import { LIBCRYPTO } from "../../src/platform/signatures.ts";
import { measure, print, type Subject } from "./platform_bench.ts";

const PACKETS = 128;
const STRIDE_BYTES = 1_452;
const LENGTHS = [52, 64, 1_408, 1_420];
const OPERATIONS = 50_000;
const KEY = new Uint8Array(32).fill(7);

/** Sealing and opening, both ways of setting a nonce; then the calls of one sealing, each alone. */
export function aeadSubjects(): Subject[] {
  const c = loadLibrary(LIBCRYPTO);
  const cipher = c.EVP_CIPHER_fetch(null, cString("ChaCha20-Poly1305"), null);
  if (cipher === null) throw new Error("Cannot measure: OpenSSL has no ChaCha20-Poly1305");
  const shared = new AeadContext(c, cipher);
  const buffer = allocateNative(PACKETS * STRIDE_BYTES);
  // Two contexts, as in a session: one that changes between sealing and opening is initialised each time.
  const ways = [true, false].map((asParameter) => ({
    name: asParameter ? "nonce as a parameter" : "nonce by EVP_*Init_ex2",
    sealer: new LibcryptoAeadKey(shared, KEY, asParameter),
    opener: new LibcryptoAeadKey(shared, KEY, asParameter),
  }));
  const offsetOf = (packet: number) => (packet & (PACKETS - 1)) * STRIDE_BYTES;
  const whole = LENGTHS.flatMap((length) =>
    ways.flatMap(({ name, sealer, opener }): Subject[] => [
      repeated(`seal ${length} B, ${name}`, (packet) => {
        sealer.seal(buffer, offsetOf(packet), length, packet);
        return true;
      }),
      repeated(`seal and open ${length} B, ${name}`, (packet) => {
        sealer.seal(buffer, offsetOf(packet), length, packet);
        return opener.open(buffer, offsetOf(packet), length + TAG_BYTES, packet);
      }),
    ])
  );
  const context = shared.open(KEY);
  const text = buffer.pointerAt(0);
  const { length: written, params, nonceParams } = shared;
  const set = () => c.EVP_CIPHER_CTX_set_params(context, nonceParams);
  const update = (bytes: number) => c.EVP_EncryptUpdate(context, text, written, text, bytes);
  const final = () => c.EVP_EncryptFinal_ex(context, text, written);
  return [
    ...whole,
    repeated("set the nonce", () => set() === 1),
    repeated("set, update 1408 B, final", () => (set() & update(1_408) & final()) === 1),
    repeated("set, update 1420 B, final", () => (set() & update(1_420) & final()) === 1),
    repeated("get the tag", () => c.EVP_CIPHER_CTX_get_params(context, params) === 1),
  ];
}

function repeated(name: string, action: (packet: number) => boolean): Subject {
  return {
    name,
    operations: OPERATIONS,
    run: (operations) => {
      let done = 0;
      for (let packet = 0; packet < operations; packet++) if (action(packet)) done++;
      return done;
    },
  };
}

if (import.meta.main) print(measure(aeadSubjects(), Number(process.argv[2] ?? 15)));
