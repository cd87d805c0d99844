/** Goal: one answer is asked for once however many parts show it, and a question that failed can be asked again. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { shared } from "../../../../src/collector/page/client/api.js";

test("shared() asks when it is first asked, and once for all", async () => {
  let asked = 0;
  const answer = shared(() => Promise.resolve(++asked));
  assert.equal(asked, 0);
  assert.deepEqual(await Promise.all([answer(), answer()]), [1, 1]);
  assert.equal(await answer(), 1);
});

test("shared() tells all who wait of a failure, and asks once more who asks then", async () => {
  let asked = 0;
  const answer = shared(() =>
    ++asked === 1 ? Promise.reject(new Error("busy")) : Promise.resolve(asked)
  );
  const results = await Promise.allSettled([answer(), answer()]);
  assert.deepEqual(results.map(({ status }) => status), ["rejected", "rejected"]);
  assert.equal(asked, 1);
  assert.deepEqual(await Promise.all([answer(), answer()]), [2, 2]);
});
