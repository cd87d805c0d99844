/**
 * The sessions of one peer, of which there are up to three (whitepaper §6.2; linux noise.c, add_new_keypair).
 *
 *   current   seals, and opens.
 *   previous  opens what was under way when the session was renewed.
 *   next      made by us as responder; becomes current when the initiator has used it, for only then is it known
 *             to have our response.
 *
 * In: new sessions, and the news that one was used. Out: which one seals. Sessions that leave are wiped and taken out
 * of the index table.
 */
import type { IndexTable } from "./index_table.ts";
import type { Session } from "./session.ts";

/** Current, previous and next session. */
export class SessionSet {
  readonly #table: IndexTable<Session>;
  #current: Session | null = null;
  #previous: Session | null = null;
  #next: Session | null = null;

  /** @param table Finds sessions by their local index. */
  constructor(table: IndexTable<Session>) {
    this.#table = table;
  }

  /** The session that seals, or null. */
  get current(): Session | null {
    return this.#current;
  }

  /** Adds a session that we made as responder. */
  addUnconfirmed(session: Session): void {
    // The previous one goes, too: the initiator has renewed, so nothing of the one before can be under way.
    this.#drop(this.#next);
    this.#drop(this.#previous);
    this.#previous = null;
    this.#next = session;
    this.#table.add(session.localIndex, session);
  }

  /** Adds a session that we made as initiator; the responder has it already. */
  addConfirmed(session: Session): void {
    this.#drop(this.#previous);
    if (this.#next === null) {
      this.#previous = this.#current;
    } else {
      // Both ends initiated at once. The other may already seal with the session that we made as responder, so it
      // is kept for opening.
      this.#drop(this.#current);
      this.#previous = this.#next;
      this.#next = null;
    }
    this.#current = session;
    this.#table.add(session.localIndex, session);
  }

  /** A message opened under `session`. @returns Whether that confirmed it: it seals from now on. */
  confirm(session: Session): boolean {
    if (session !== this.#next) return false;
    this.#drop(this.#previous);
    this.#previous = this.#current;
    this.#current = session;
    this.#next = null;
    return true;
  }

  /** Erases all. */
  clear(): void {
    this.#drop(this.#previous);
    this.#drop(this.#current);
    this.#drop(this.#next);
    this.#previous = null;
    this.#current = null;
    this.#next = null;
  }

  #drop(session: Session | null): void {
    if (session === null) return;
    this.#table.remove(session.localIndex);
    session.destroy();
  }
}
