/**
 * The sessions of one peer (whitepaper §6.2; linux noise.c, add_new_keypair).
 *
 *   current   seals, and opens.
 *   next      made by us as responder; becomes current when the initiator has used it, for only then is it known
 *             to have our response.
 *   retired   two that were current or next before: they open what was still under way.
 *
 * In: new sessions, and the news that one was used. Out: which one seals. Sessions that leave are wiped and taken out
 * of the index table.
 *
 * When both ends initiate at once there are two new sessions. Linux lets an initiation undo one's own, so that neither
 * is completed and both ends wait 5 s to try again. Here both are completed, and both ends end up with the one that
 * the end with the larger public key began: the other end yields as soon as it sees that session used. With Linux at
 * the other end only ours is completed, and it is never used otherwise.
 */
import type { IndexTable } from "./index_table.ts";
import type { Session } from "./session.ts";

/** All sessions with one peer. */
export class SessionSet {
  readonly #table: IndexTable<Session>;
  #current: Session | null = null;
  #next: Session | null = null;
  #previous: Session | null = null;
  /** Retired before `previous`: in use only when two sessions began at once. */
  #older: Session | null = null;

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
    this.#dropExpired();
    this.#drop(this.#next);
    this.#next = session;
    this.#table.add(session.localIndex, session);
  }

  /**
   * Adds a session that we made as initiator; the responder has it already.
   * @param yields Whether a session that the peer has begun at the same time is to come before this one.
   */
  addConfirmed(session: Session, yields: boolean): void {
    this.#dropExpired();
    this.#retire(this.#current);
    if (!yields) {
      this.#retire(this.#next);
      this.#next = null;
    }
    this.#current = session;
    this.#table.add(session.localIndex, session);
    session.place?.publish();
  }

  /** A message opened under `session`. @returns Whether that confirmed it: it seals from now on. */
  confirm(session: Session): boolean {
    if (session !== this.#next) return false;
    this.#retire(this.#current);
    this.#current = session;
    this.#next = null;
    session.place?.publish();
    return true;
  }

  /** Erases all. */
  clear(): void {
    for (const session of [this.#current, this.#next, this.#previous, this.#older]) {
      this.#drop(session);
    }
    this.#current = null;
    this.#next = null;
    this.#previous = null;
    this.#older = null;
  }

  #retire(session: Session | null): void {
    if (session === null) return;
    this.#drop(this.#older);
    this.#older = this.#previous;
    this.#previous = session;
  }

  /** Takes out retired sessions that open nothing any more: their keys need not lie about. */
  #dropExpired(): void {
    if (this.#older?.isExpired() === true) {
      this.#drop(this.#older);
      this.#older = null;
    }
    if (this.#previous?.isExpired() === true) {
      this.#drop(this.#previous);
      this.#previous = this.#older;
      this.#older = null;
    }
  }

  #drop(session: Session | null): void {
    if (session === null) return;
    this.#table.remove(session.localIndex);
    session.destroy();
  }
}
