// Goal: slips of the fingers are told from other words. Method: literal slips, one per kind of edit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest } from "../../src/nearest.ts";

const KEYS = ["PublicKey", "PresharedKey", "AllowedIPs", "MTU", "DNS", "Table"];

test("nearest() finds words within two edits, case aside", () => {
  const slips: Record<string, string | undefined> = {
    AlowedIPs: "AllowedIPs",
    allowedipss: "AllowedIPs",
    AllowdeIPs: "AllowedIPs",
    AllowedIP: "AllowedIPs",
    PubliKei: "PublicKey",
    Tabel: "Table",
    // A swap counts as one edit, so that two of them fit.
    aTbel: "Table",
    MTV: "MTU",
    NDS: "DNS",
    Pblckey: "PublicKey",
    Pblcey: undefined,
    Endpoint: undefined,
    XYZ: undefined,
    M: undefined,
    "": undefined,
  };
  for (const [slip, wanted] of Object.entries(slips)) {
    assert.equal(nearest(slip, KEYS), wanted, slip);
  }
});

test("nearest() finds no word of which nothing would be left", () => {
  assert.equal(nearest("xyp", ["up"]), undefined);
  assert.equal(nearest("xy", ["uvy"]), undefined);
  assert.equal(nearest("xup", ["up"]), "up");
});

test("nearest() prefers the nearer, and of equals the first", () => {
  assert.equal(nearest("cat", ["cost", "cart", "cut"]), "cart");
});
