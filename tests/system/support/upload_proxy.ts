/**
 * The proxy of upload_proxy_main.ts as tests see it: bodies of our own client as they came, and lies.
 *
 * In: a namespace, where it listens, whom it hands on to. Out: what it recorded.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Child } from "./command.ts";
import type { Namespace } from "./namespaces.ts";
import { helperCommand } from "./runtimes.ts";

/** What it does to virtual rows whose source is one of these, as `100.64.0.2:80`. */
export interface UploadLies {
  /** Rows that it takes out. */
  readonly withheld: readonly string[];
  /** Rows of which it halves what was sent. */
  readonly halved: readonly string[];
}

/** One upload that was acknowledged, in order of the answers. */
export interface RecordedUpload {
  /** File in its directory. */
  readonly name: string;
  readonly path: string;
  /** Content-Encoding. */
  readonly encoding: string | null;
  /** Whether it was handed on as it came. */
  readonly isHonest: boolean;
}

/** See file header. */
export class UploadProxy {
  #lies = 0;

  private constructor(readonly directory: string, readonly child: Child) {}

  static async start(
    namespace: Namespace,
    listen: { readonly address: string; readonly port: number },
    target: string,
  ): Promise<UploadProxy> {
    const directory = join(namespace.lab.directory, "uploads");
    mkdirSync(directory);
    const argv = [listen.address, `${listen.port}`, target, directory];
    const child = namespace.spawn(helperCommand("upload_proxy_main.ts", ...argv));
    await child.waitForOutput(/^listening$/m);
    return new UploadProxy(directory, child);
  }

  async lie(lies: UploadLies): Promise<void> {
    this.child.writeLine(JSON.stringify(lies));
    await this.child.waitForOutput(new RegExp(`^lies ${++this.#lies}$`, "m"));
  }

  uploads(): RecordedUpload[] {
    const path = join(this.directory, "uploads.ndjson");
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  }
}
