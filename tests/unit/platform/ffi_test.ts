// Goal: the same table of C signatures works on both runtimes, and what is missing is said in one sentence.
// Method: harmless calls into the real C library; no descriptor, clock or network is touched but /dev/null.
import { test } from "node:test";
import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { LibraryError, SystemCallError } from "../../../src/errors.ts";
import { cString, foreign, loadLibrary } from "../../../src/platform/ffi.ts";
import {
  checked,
  closeFile,
  lastErrno,
  libc,
  OPEN,
  openFile,
  readFile,
  writeFile,
} from "../../../src/platform/libc.ts";
import {
  allocateNative,
  NativeMemory,
  nativeMemoryOf,
  writeAddress,
} from "../../../src/platform/native_buffer.ts";
import { LIBC } from "../../../src/platform/signatures.ts";

test("libc() calls C and returns what it returns", () => {
  assert.equal(libc().getpid(), process.pid);
  assert.equal(libc(), libc(), "loaded once");
});

test("lastErrno() is the errno of the call before it, each time anew", () => {
  for (let round = 0; round < 1000; round++) {
    assert.equal(libc().close(-1), -1);
    assert.equal(lastErrno(), 9);
    assert.equal(libc().open(cString("/nonexistent/x"), 0, 0), -1);
    assert.equal(lastErrno(), 2);
  }
});

test("loadLibrary() names every file it tried", () => {
  const files = ["libtunlog-none.so.1", "libtunlog-none.so"];
  assert.throws(
    () => loadLibrary({ title: "Nothing", files, functions: LIBC.functions }),
    (error: unknown) => {
      assert.ok(error instanceof LibraryError);
      assert.equal(error.problems.length, 2);
      assert.match(error.message, /^Cannot load Nothing: .*none\.so\.1.*; .*none\.so/);
      return true;
    },
  );
});

test("loadLibrary() takes no library from the working directory", () => {
  const here = process.cwd();
  const directory = mkdtempSync(join(tmpdir(), "tunlog-unit-"));
  const planted = "libtunlog-planted.so.1";
  // A real library under a name that the system does not have: whoever looks here finds it and can load it.
  copyFileSync(loadedLibcPath(), join(directory, planted));
  try {
    process.chdir(directory);
    const functions = { getpid: { parameters: [], result: "i32" } } as const;
    assert.throws(
      () => loadLibrary({ title: "Planted", files: [planted], functions }),
      LibraryError,
    );
  } finally {
    process.chdir(here);
    rmSync(directory, { recursive: true });
  }
});

/** File of the C library that this process runs on. */
function loadedLibcPath(): string {
  const maps = readFileSync("/proc/self/maps", "utf8");
  return /\/\S*\/(?:libc\.so\.6|libc\.musl-\S+|ld-musl-\S+|libc-[\d.]+\.so)$/m.exec(maps)![0];
}

test("loadLibrary() refuses a library that lacks a function", () => {
  const functions = { tunlog_no_such_function: { parameters: [], result: "i32" } } as const;
  assert.throws(
    () => loadLibrary({ title: "C library", files: LIBC.files, functions }),
    (error: unknown) =>
      error instanceof LibraryError && /tunlog_no_such_function/.test(error.message),
  );
});

test("loadLibrary() falls back to the next file name", () => {
  const files = ["libtunlog-none.so.1", ...LIBC.files];
  const functions = { getpid: { parameters: [], result: "i32" } } as const;
  assert.equal(loadLibrary({ title: "C library", files, functions }).getpid(), process.pid);
});

test("cString() closes text with a zero and refuses one inside", () => {
  assert.deepEqual([...cString("aé")], [0x61, 0xc3, 0xa9, 0]);
  assert.throws(() => cString("a\0b"), RangeError);
});

test("checked() makes an error with action, errno and the advice for that errno", () => {
  const advice = { 2: "make it first", 13: "ask somebody" };
  assert.throws(
    () => openFile("/nonexistent/x", OPEN.READ, { advice }),
    (error: unknown) =>
      error instanceof SystemCallError && error.errno === 2 &&
      error.message === 'Cannot open "/nonexistent/x": errno is 2 (ENOENT): make it first',
  );
  assert.equal(checked(0, "do nothing"), 0);
});

test("readFile() and writeFile() move bytes through a descriptor", () => {
  const zero = openFile("/dev/zero", OPEN.READ);
  const output = new Uint8Array(16).fill(7);
  assert.equal(readFile(zero, output.subarray(4, 12), "read"), 8);
  assert.deepEqual([...output], [7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7]);
  closeFile(zero);
  const sink = openFile("/dev/null", OPEN.WRITE);
  writeFile(sink, output, "write");
  closeFile(sink);
  assert.throws(
    () => writeFile(-1, output, "write to nowhere"),
    /^SystemCallError: Cannot write to nowhere: errno is 9 \(EBADF\)$/,
  );
});

for (const shared of [false, true]) {
  const kind = shared ? "shared" : "own";
  test(`allocateNative() makes zeroed, aligned ${kind} memory that C sees at every offset`, () => {
    const memory = allocateNative(9000, shared);
    assert.equal(memory.address % 8, 0);
    assert.ok(memory.bytes.every((byte) => byte === 0));
    // An iovec at 64 that points to offset 5000 + step: C reads what we wrote, where we said.
    for (const offset of [0, 1, 2, 3, 4, 4094, 4095, 4096, 4100, 8191, 8192, 8999]) {
      assert.equal(foreign.address(memory.pointerAt(offset)), memory.address + offset);
    }
  });

  test(`NativeMemory over ${kind} memory: C writes where writeAddress() points`, () => {
    const memory = allocateNative(9000, shared);
    const vector = allocateNative(16, shared);
    writeAddress(vector.view, 0, memory.address + 4097);
    vector.view.setUint32(8, 3, true);
    memory.bytes.fill(0xee);
    const zero = openFile("/dev/zero", OPEN.READ);
    assert.equal(libc().readv(zero, vector.pointer, 1), 3);
    closeFile(zero);
    const touched = [...memory.bytes.keys()].filter((at) => memory.bytes[at] === 0);
    assert.deepEqual(touched, [4097, 4098, 4099]);
  });
}

test("pointerAt() keeps the pointers of aligned offsets", { skip: "Bun" in globalThis }, () => {
  const memory = allocateNative(8192);
  for (const offset of [0, 4, 4092, 4096, 8192]) {
    assert.equal(memory.pointerAt(offset), memory.pointerAt(offset), `offset ${offset}`);
  }
  assert.notEqual(memory.pointerAt(4), memory.pointerAt(8));
});

test("NativeMemory refuses memory without a first byte", () => {
  assert.throws(() => allocateNative(0), RangeError);
});

test("nativeMemoryOf() gives other people's buffers addresses, once", () => {
  const memory = new ArrayBuffer(64);
  const bytes = new Uint8Array(memory, 16, 32);
  const buffer = { bytes, view: new DataView(memory, 16, 32) };
  const native = nativeMemoryOf(buffer);
  assert.equal(nativeMemoryOf(buffer), native);
  assert.equal(native.address, new NativeMemory(memory).address + 16);
  assert.equal(nativeMemoryOf(native), native);
});

test("writeAddress() splits an address into two little-endian words", () => {
  const view = new DataView(new ArrayBuffer(16));
  writeAddress(view, 4, 0x7fff_89ab_cdef);
  assert.equal(view.getBigUint64(4, true), 0x7fff_89ab_cdefn);
  assert.equal(view.getUint32(0), 0);
  assert.equal(view.getUint32(12), 0);
});
