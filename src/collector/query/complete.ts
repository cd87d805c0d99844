/**
 * Help while a filter is being written: what could be typed next, what is wrong with it, how it is spelled.
 *
 * In: the filter's text and the place of the cursor. Out: words for the piece under the cursor, with the names of the nodes
 * that the store knows; the first problem with its place, or the canonical spelling.
 */
import { completeFilter, formatFilter, parseFilter } from "../filter/mod.ts";
import type { QueryContext } from "./context.ts";
import type { CompleteQuestion, Json } from "./question.ts";

/** Answers a question for help. */
export function answerComplete({ nodes }: QueryContext, question: CompleteQuestion): Json {
  const { text, position } = question;
  const names = nodes.nodes.map(({ name, nodeId }) => name || nodeId).filter((name) => name !== "");
  const completion = completeFilter(text, position, {
    nodes: new Set(names),
    addresses: new Set(nodes.nodes.flatMap(({ addresses }) => addresses)),
  });
  const parsed = parseFilter(text);
  return {
    from: completion.from,
    to: completion.to,
    items: completion.items.map(({ text, detail }) => ({ text, detail })),
    canonical: parsed.ok ? formatFilter(parsed.filter) : null,
    problem: parsed.ok ? null : {
      message: parsed.problem.message,
      position: { start: parsed.problem.start, end: parsed.problem.end },
      expected: parsed.problem.expected,
    },
  };
}
