/**
 * `tunlog genkey`, `pubkey` and `genpsk`: byte for byte what wg's commands of these names do.
 *
 * In: for pubkey a private key on the standard input. Out: one key in base64 on one line.
 */
import { keyFromBase64, keyToBase64 } from "../node/mod.ts";
import { openCrypto } from "../platform/mod.ts";
import { KEY_BYTES } from "../wireguard/mod.ts";
import { runCommand } from "./args.ts";
import { COMMANDS } from "./commands.ts";
import { type CommandIo, EXIT } from "./io.ts";

/** `tunlog genkey`: a random private key, clamped (RFC 7748 §5), because wg's are. */
export function runGenkey(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.genkey, args, io, () => {
    const key = randomKey();
    key[0] = key[0]! & 0xf8;
    key[31] = key[31]! & 0x7f | 0x40;
    return printSecret(key, io);
  });
}

/** `tunlog genpsk`: a random preshared key. */
export function runGenpsk(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.genpsk, args, io, () => printSecret(randomKey(), io));
}

/** `tunlog pubkey`: the public key of the private key on the standard input, which only space may follow. */
export function runPubkey(args: readonly string[], io: CommandIo): Promise<number> {
  return runCommand(COMMANDS.pubkey, args, io, async () => {
    const text = new TextDecoder().decode(await io.stdin());
    const key = keyFromBase64(text.trimEnd());
    if (key === undefined) {
      io.stderr(
        "tunlog: The standard input must be one private key of 44 base64 characters, as genkey prints it\n",
      );
      return EXIT.FAILED;
    }
    const publicKey = new Uint8Array(KEY_BYTES);
    // noble: one key is not worth the permission that libcrypto needs.
    openCrypto("noble").x25519Public(publicKey, key);
    io.stdout(`${keyToBase64(publicKey)}\n`);
    return EXIT.DONE;
  });
}

function randomKey(): Uint8Array {
  const key = new Uint8Array(KEY_BYTES);
  openCrypto("noble").random(key);
  return key;
}

/** Prints a secret key, with wg's warning when everyone may read the file that it goes to. */
function printSecret(key: Uint8Array, io: CommandIo): number {
  if (((io.stdoutFileMode ?? 0) & 0o007) !== 0) {
    io.stderr(
      "tunlog: The key goes to a file that is accessible to everyone: set the umask to 077 first\n",
    );
  }
  io.stdout(`${keyToBase64(key)}\n`);
  return EXIT.DONE;
}
