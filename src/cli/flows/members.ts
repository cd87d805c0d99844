/**
 * Members of answers, each with its type: what comes from a collector is text from outside.
 *
 * In: JSON of any form. Out: values; an error that names the member if it is not of its type.
 */
import { type ExactJson, parseExactJson } from "../../netlog/mod.ts";

/** An integer, exact. */
export type Integer = number | bigint;

/** See file header. */
export class Members {
  readonly value: Readonly<Record<string, ExactJson>>;

  /** @throws {Error} If it is no object. */
  constructor(value: ExactJson, what = "answer") {
    if (value === null || typeof value !== "object" || Array.isArray(value)) {
      throw new Error(`Cannot read the ${what}: it is no JSON object`);
    }
    this.value = value as Readonly<Record<string, ExactJson>>;
  }

  /** Reads the text of an object. @throws {Error} If it is none. */
  static parse(text: string): Members {
    let value: ExactJson;
    try {
      value = parseExactJson(text);
    } catch (error) {
      throw new Error("Cannot read the answer: it is not JSON", { cause: error });
    }
    return new Members(value);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.value, name);
  }

  /** Whether it is absent or null. */
  isNull(name: string): boolean {
    return !this.has(name) || this.value[name] === null;
  }

  text(name: string): string {
    const value = this.#get(name);
    return typeof value === "string" ? value : this.#refuse(name, "a text");
  }

  number(name: string): number {
    const value = this.#get(name);
    return typeof value === "number" ? value : this.#refuse(name, "a number");
  }

  integer(name: string): Integer {
    const value = this.#get(name);
    const isInteger = typeof value === "bigint" || Number.isInteger(value);
    return isInteger ? value as Integer : this.#refuse(name, "an integer");
  }

  flag(name: string): boolean {
    return this.has(name) && this.value[name] === true;
  }

  list(name: string): readonly ExactJson[] {
    const value = this.#get(name);
    return Array.isArray(value) ? value : this.#refuse(name, "a list");
  }

  objects(name: string): Members[] {
    return this.list(name).map((value) => new Members(value, `answer's "${name}"`));
  }

  texts(name: string): string[] {
    return this.list(name).map((value) =>
      typeof value === "string" ? value : this.#refuse(name, "a list of texts")
    );
  }

  object(name: string): Members {
    return new Members(this.#get(name), `answer's "${name}"`);
  }

  #get(name: string): ExactJson {
    return this.has(name) ? this.value[name] : this.#refuse(name, "there");
  }

  #refuse(name: string, wanted: string): never {
    throw new Error(`Cannot read the answer: "${name}" must be ${wanted}`);
  }
}
