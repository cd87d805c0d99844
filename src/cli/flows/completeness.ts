/**
 * The line under every answer: over which share of windows it is complete, and what is known to be missing.
 *
 * In: an answer. Out: one sentence or two; whether anything is lost.
 */
import { printable } from "../../netlog/mod.ts";
import type { Members } from "./members.ts";
import { percentText, spanText, type TimeWriter } from "./values.ts";

/** See file header. */
export interface CompletenessLine {
  readonly text: string;
  /** Whether something is lost: it is shown in red then. */
  readonly isLost: boolean;
}

/** Writes it for an answer with a member `completeness`. */
export function completenessLine(answer: Members, times: TimeWriter): CompletenessLine {
  const completeness = answer.object("completeness");
  const share = completeness.isNull("share") ? null : completeness.number("share");
  const gaps = completeness.number("gaps");
  const missing = completeness.number("missing");
  const cut = answer.isNull("truncated") ? [] : answer.texts("truncated");
  const losses = [
    ...(gaps > 0 ? [`${gaps} ${gaps === 1 ? "gap" : "gaps"} declared`] : []),
    ...(missing > 0 ? [`${missing} ${missing === 1 ? "entry" : "entries"} missing`] : []),
  ];
  const keptFrom = completeness.has("keptFrom")
    ? [`no longer kept up to ${times.whole(completeness.text("keptFrom"))}`]
    : [];
  const worst = nodesText(completeness, times);
  const parts = [
    share === null ? "Completeness is not known" : `Complete: ${percentText(share)}`,
    ...keptFrom,
    ...losses,
    ...(worst === "" ? [] : [worst]),
    ...(cut.length === 0 ? [] : [`cut off: ${printable(cut.join(", "))}`]),
  ];
  return {
    text: parts.join("; "),
    isLost: (share !== null && share < 1) || losses.length > 0 || keptFrom.length > 0 ||
      cut.length > 0,
  };
}

/** The worst nodes with what they lack. */
function nodesText(completeness: Members, times: TimeWriter): string {
  const nodes = completeness.objects("nodes");
  const shown = nodes.map((node) => {
    const share = node.number("share");
    const words = lacksOf(node, times);
    const name = printable(node.text("node"));
    // One that was silent all the time may have no share of its own.
    const percent = share < 1 ? ` ${percentText(share)}` : "";
    return percent === ""
      ? `${name} ${words.join(", ")}`
      : `${name}${percent} (${words.join(", ")})`;
  });
  const more = completeness.number("nodesIncomplete") - nodes.length;
  return [...shown, ...(more > 0 ? [`${more} more nodes`] : [])].join(", ");
}

function lacksOf(node: Members, times: TimeWriter): string[] {
  const spans = [["gapMs", "gap"], ["missingMs", "missing"]] as const;
  const lacks = spans.filter(([name]) => node.has(name)).map(([name, word]) =>
    `${word} ${spanText(node.number(name))}`
  );
  if (node.has("silentSince")) lacks.push(`silent since ${times.short(node.text("silentSince"))}`);
  else if (node.has("silentMs")) lacks.push(`silent ${spanText(node.number("silentMs"))}`);
  return lacks;
}
