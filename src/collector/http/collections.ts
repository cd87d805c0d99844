/**
 * Collections: which names there are, which are refused (SPEC 3 "Concepts").
 *
 * In: names. Out: whether uploads to them are taken. A name is registered by hand or, unless that is switched off, by its
 * first use; one that was deleted is refused until it is created again. Kept in a file, written whole or not at all.
 */
import { COLLECTION_CHARS_MAX, COLLECTIONS_MAX } from "../../limits.ts";
import { readJsonFile, writeJsonFile } from "./json_file.ts";

const NAME = /^[a-zA-Z0-9_.-]+$/;

/** Whether it can be a collection's name. */
export function isCollectionName(name: string): boolean {
  return name.length <= COLLECTION_CHARS_MAX && NAME.test(name) && !/^\.{1,2}$/.test(name);
}

/** See file header. */
export class Collections {
  readonly #path: string | null;
  readonly #byUse: boolean;
  /** Whether each is taken; false = deleted. */
  readonly #names = new Map<string, boolean>();

  /**
   * @param path null = in memory only.
   * @param byUse Whether the first upload registers a name.
   * @param known Names that the store has streams of.
   * @throws {ConfigError} If the file is not one of ours.
   */
  constructor(path: string | null, byUse: boolean, known: Iterable<string>) {
    this.#path = path;
    this.#byUse = byUse;
    for (const name of known) this.#names.set(name, true);
    const kept = path === null ? null : readJsonFile(path, isKept);
    for (const { name, deleted } of kept?.collections ?? []) this.#names.set(name, !deleted);
  }

  /** All that are taken, sorted. */
  names(): string[] {
    return [...this.#names].filter(([, isTaken]) => isTaken).map(([name]) => name).sort();
  }

  /** Whether there is such a collection. */
  has(name: string): boolean {
    return this.#names.get(name) === true;
  }

  /** Whether an upload to the name is taken; registers it where first use does. */
  use(name: string): boolean {
    const isTaken = this.#names.get(name);
    if (isTaken !== undefined) return isTaken;
    if (!this.#byUse || !this.#mayAdd(name)) return false;
    // Not written: the store's streams tell of it at the next start.
    this.#names.set(name, true);
    return true;
  }

  /** @returns false if it is no name, or there are too many. */
  create(name: string): boolean {
    if (!this.has(name) && !this.#mayAdd(name)) return false;
    this.#names.set(name, true);
    this.#write();
    return true;
  }

  /** @returns false if there is none. */
  delete(name: string): boolean {
    if (!this.has(name)) return false;
    this.#names.set(name, false);
    this.#write();
    return true;
  }

  #mayAdd(name: string): boolean {
    return isCollectionName(name) && (this.#names.has(name) || this.#names.size < COLLECTIONS_MAX);
  }

  #write(): void {
    if (this.#path === null) return;
    const collections = [...this.#names].map(([name, isTaken]) => ({ name, deleted: !isTaken }));
    writeJsonFile(this.#path, { collections } satisfies Kept);
  }
}

interface Kept {
  readonly collections: readonly { readonly name: string; readonly deleted: boolean }[];
}

function isKept(value: unknown): value is Kept {
  const list = (value as Partial<Kept> | null)?.collections;
  return Array.isArray(list) &&
    list.every((item) =>
      typeof item?.name === "string" && isCollectionName(item.name) &&
      typeof item.deleted === "boolean"
    );
}
