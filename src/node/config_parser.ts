/**
 * Lines of a configuration file → sections with typed values.
 *
 * In: the file's text. Out: sections as config_keys.ts knows them; everything that is wrong, each with its line.
 * The grammar is wg's: `[Section]`, `Key = Value`, `#` starts a comment anywhere, names ignore case, spaces mean
 * nothing. A comment `# friendly_name = NAME` names the section it stands in.
 * Not here: what values mean together (config.ts).
 */
import { CONFIG_ERRORS_MAX, FRIENDLY_NAME_CHARS_MAX } from "../limits.ts";
import { ConfigError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { type KeySpec, SECTIONS, type SectionSpec } from "./config_keys.ts";
import { quote, ValueError } from "./config_values.ts";

/** One value and where it stands. */
export interface Entry<T> {
  readonly value: T;
  /** As written. */
  readonly text: string;
  /** 1-based. */
  readonly line: number;
}

/** One section with its values. */
export class Section {
  /** Name by comment; the first `friendly_name` wins over `Name`. */
  friendlyName: string | null = null;
  friendlyNameIsWeak = false;
  readonly #entries = new Map<KeySpec<unknown>, Entry<unknown>[]>();
  readonly #lineByKey = new Map<KeySpec<unknown>, number>();

  constructor(readonly spec: SectionSpec, readonly line: number) {}

  /** Line on which the key was first given, well or badly; undefined = not at all. */
  lineOf(key: KeySpec<unknown>): number | undefined {
    return this.#lineByKey.get(key);
  }

  /** The value of a `single` key. */
  one<T>(key: KeySpec<T>): T | undefined {
    return this.all(key)[0]?.value;
  }

  /** All values of a key, in the order of the file. */
  all<T>(key: KeySpec<T>): readonly Entry<T>[] {
    // A key's values were all made by that key's own parser.
    return (this.#entries.get(key) ?? []) as Entry<T>[];
  }

  see(key: KeySpec<unknown>, line: number): void {
    if (!this.#lineByKey.has(key)) this.#lineByKey.set(key, line);
  }

  add(key: KeySpec<unknown>, entry: Entry<unknown>): void {
    const entries = this.#entries.get(key);
    if (entries === undefined) this.#entries.set(key, [entry]);
    else entries.push(entry);
  }
}

/** What is wrong with a file, and what is only worth saying. */
export class Problems {
  readonly #errors: { readonly line: number; readonly sentence: string }[] = [];
  readonly #warnings: string[] = [];

  /** @param path Stands before each message. */
  constructor(readonly path: string) {}

  /** @param line 0 = the file as a whole. */
  error(line: number, sentence: string): void {
    this.#errors.push({ line, sentence });
  }

  warn(line: number, sentence: string): void {
    this.#warnings.push(new ConfigError(sentence, this.path, line).message);
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** @throws {ConfigError} If there is any error: all of them in the order of lines, one per line of the message. */
  throwIfAny(): void {
    if (this.#errors.length === 0) return;
    const sorted = this.#errors.toSorted((a, b) => a.line - b.line);
    const shown = sorted.slice(0, CONFIG_ERRORS_MAX).map(({ line, sentence }) =>
      new ConfigError(sentence, this.path, line === 0 ? undefined : line)
    );
    if (sorted.length === 1) throw shown[0]!;
    const more = sorted.length - shown.length;
    const lines = shown.map((error) => error.message);
    if (more > 0) lines.push(`${this.path}: and ${more} more errors`);
    throw new ConfigError(lines.join("\n"));
  }
}

const SECTION_BY_NAME = new Map<string, SectionSpec>(
  Object.values(SECTIONS).map((spec) => [spec.name.toLowerCase(), spec]),
);

const KEY_BY_NAME = new Map<SectionSpec, Map<string, KeySpec<unknown>>>(
  Object.values(SECTIONS).map((spec) => [
    spec,
    new Map(Object.values(spec.keys).map((key) => [key.name.toLowerCase(), key])),
  ]),
);

/** Reads all sections. Whatever is wrong goes to `problems`, and reading goes on. */
export function parseSections(text: string, problems: Problems): Section[] {
  const sections: Section[] = [];
  /** null = before the first header; "unknown" = in a section whose keys would only add noise. */
  let current: Section | "unknown" | null = null;
  // trim() below also takes away carriage returns, and a byte order mark.
  for (const [index, written] of text.split("\n").entries()) {
    const line = index + 1;
    const hash = written.indexOf("#");
    const content = (hash < 0 ? written : written.slice(0, hash)).trim();
    if (content === "") {
      if (hash >= 0 && current instanceof Section) readName(written.slice(hash + 1), current);
    } else if (content.startsWith("[")) {
      current = openSection(content, line, sections, problems);
    } else if (current === null) {
      problems.error(line, "Line stands before the first [Section]");
    } else if (current !== "unknown") {
      readEntry(content, line, current, problems);
    }
  }
  return sections;
}

/** Finds or makes the section that a header begins. */
function openSection(
  content: string,
  line: number,
  sections: Section[],
  problems: Problems,
): Section | "unknown" {
  const header = /^\[\s*([^\]]*?)\s*\]$/.exec(content);
  if (header === null) {
    problems.error(line, `Section header ${quote(content)} must be [Name] and nothing else`);
    return "unknown";
  }
  const name = header[1]!.replace(/\s+/g, "").toLowerCase();
  const spec = SECTION_BY_NAME.get(name);
  if (spec === undefined) {
    const names = Object.values(SECTIONS).map((known) => known.name);
    const likely = nearest(name, names);
    problems.error(
      line,
      `Section [${quote(header[1]!).slice(1, -1)}] is not known: ` +
        (likely === undefined
          ? `wanted is one of ${names.map((known) => `[${known}]`).join(", ")}`
          : `[${likely}] is probably meant`),
    );
    return "unknown";
  }
  const open = spec.isRepeated ? undefined : sections.find((section) => section.spec === spec);
  if (open !== undefined) return open;
  const section = new Section(spec, line);
  sections.push(section);
  return section;
}

/** Takes a section's name from a comment in one of the forms that other tools write. */
function readName(comment: string, section: Section): void {
  // prometheus_wireguard_exporter writes `friendly_name`, wg-easy and others write `Name`.
  const strong = /^\s*friendly_name(?:\s*=\s*|\s+(?!=))(\S.*)$/i.exec(comment);
  const found = strong ?? /^\s*name\s*=\s*(\S.*)$/i.exec(comment);
  const isBetter = section.friendlyName === null || (section.friendlyNameIsWeak && strong !== null);
  if (found === null || !isBetter) return;
  // deno-lint-ignore no-control-regex -- names go to terminals.
  const printable = found[1]!.replace(/[\x00-\x1f\x7f-\x9f]/g, " ").trim();
  if (printable === "") return;
  section.friendlyName = Array.from(printable).slice(0, FRIENDLY_NAME_CHARS_MAX).join("");
  section.friendlyNameIsWeak = strong === null;
}

/** Reads `Key = Value`. */
function readEntry(content: string, line: number, section: Section, problems: Problems): void {
  const equals = content.indexOf("=");
  if (equals < 0) {
    // Not quoted: the line may be a key with its `=` forgotten.
    problems.error(line, "Line is not of the form Key = Value");
    return;
  }
  const name = content.slice(0, equals).trim();
  const key = KEY_BY_NAME.get(section.spec)!.get(name.replace(/\s+/g, "").toLowerCase());
  if (key === undefined) {
    problems.error(line, unknownKey(name, section.spec));
    return;
  }
  const firstLine = section.lineOf(key);
  section.see(key, line);
  if (key.kind === "single" && firstLine !== undefined) {
    problems.error(line, `${key.name} was already given in line ${firstLine}`);
    return;
  }
  readValues(content.slice(equals + 1).trim(), key, line, section, problems);
}

/** Says what is wrong with an unknown key without repeating what might be a secret. */
function unknownKey(name: string, spec: SectionSpec): string {
  // A base64 key ends in `=`: of `PrivateKey AbC…=` all but the end stands left of the first `=`.
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,23}$/.test(name)) return "Line is not of the form Key = Value";
  const known = Object.values(spec.keys).map((key) => key.name);
  const elsewhere = Object.values(SECTIONS).find((other) =>
    Object.values(other.keys).some((key) => key.name.toLowerCase() === name.toLowerCase())
  );
  const likely = nearest(name, known);
  const beginning = `Key "${name}" is not known in [${spec.name}]`;
  if (elsewhere !== undefined) return `${beginning}: it belongs in [${elsewhere.name}]`;
  if (likely !== undefined) return `${beginning}: ${likely} is probably meant`;
  if (known.length === 0) return `${beginning}, which has no keys yet`;
  return `${beginning}: wanted is one of ${known.join(", ")}`;
}

/** Reads the value or values of one line. */
function readValues(
  text: string,
  key: KeySpec<unknown>,
  line: number,
  section: Section,
  problems: Problems,
): void {
  if (text === "" && key.mayBeEmpty) return;
  if (key.kind === "single" || key.kind === "repeated") {
    readValue(text, key.name, key, line, section, problems);
    return;
  }
  const separator = key.kind === "list" ? "," : /[,\s]+/;
  for (const part of text.split(separator)) {
    const entry = part.trim();
    if (entry === "" && key.kind === "spaced list") continue;
    readValue(entry, `${key.name} entry`, key, line, section, problems);
  }
}

function readValue(
  text: string,
  what: string,
  key: KeySpec<unknown>,
  line: number,
  section: Section,
  problems: Problems,
): void {
  const subject = key.isSecret ? what : `${what} ${quote(text)}`;
  try {
    // wg takes all spaces out of a line; a path or a command keeps them.
    const squeezed = key.keepsSpaces ? text : text.replace(/\s+/g, "");
    const value = key.parse(squeezed, (sentence) => problems.warn(line, `${subject} ${sentence}`));
    if (value === undefined) problems.error(line, `${subject} must be ${key.form}`);
    else section.add(key, { value, text, line });
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    problems.error(line, `${subject} ${error.message}`);
  }
}
