/** Whether there is a browser; apart from what drives it, so that asking needs no package. */
import { existsSync } from "node:fs";

/** Where Debian puts it. */
export const CHROMIUM = "/usr/bin/chromium";

/** Why browsers cannot be used here; null = they can. */
export function browserObstacle(): string | null {
  return existsSync(CHROMIUM) ? null : `it needs ${CHROMIUM} (Debian: apt-get install chromium)`;
}
