/** Entries as they are handed out: what the server knows of them beside what their writer said (SPEC 3). */
import { nsOfWallMs, timeText } from "../../time_text.ts";
import type { StoredEntry } from "../store.ts";

const LOGTAIL_OPENING = '{"logtail":{';

/** One line of JSON without its newline. @param publicId Of the entry's stream. */
export function entryText({ json, receivedMs }: StoredEntry, publicId: string): string {
  const time = timeText(nsOfWallMs(receivedMs));
  const about = `"server_time":"${time}","id":"${publicId}"`;
  // Ingest puts `logtail` first, and nothing of these names into it.
  if (json.startsWith(LOGTAIL_OPENING)) {
    const rest = json.slice(LOGTAIL_OPENING.length);
    return `${LOGTAIL_OPENING}${about}${rest.startsWith("}") ? "" : ","}${rest}`;
  }
  const rest = json.slice(1);
  return `{"logtail":{${about}}${rest === "}" ? "" : ","}${rest}`;
}
