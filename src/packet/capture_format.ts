/** What the readers of both capture formats share. */

/** One packet of a capture. The reader overwrites it with the next. */
export interface CapturedPacket {
  view: DataView;
  /** Where its captured bytes begin. */
  offset: number;
  capturedBytes: number;
  /** Length on the wire; more than was captured where the capture cut it off, never less. */
  wireBytes: number;
  /** Unix time in ms, with a fraction; NaN = the capture does not tell. */
  wallMs: number;
  /** LINKTYPE_ number of what the bytes begin with. */
  linkType: number;
}

/** Reads records of one format. */
export interface CaptureFormat {
  /**
   * Reads one record.
   * @param fileOffset Position of the view's start in the file, for messages.
   * @returns Its bytes; 0 = they are not all there yet. May be more than there are: then the rest is to be skipped.
   * @throws {SyntaxError} If it cannot be one.
   */
  read(view: DataView, at: number, end: number, fileOffset: number): number;
}

/** Where a pcapng section states its byte order. */
export const BYTE_ORDER_MAGIC_AT = 8;

/** What is thrown at bytes that are no capture. */
export function wrong(problem: string, offset: number): SyntaxError {
  return new SyntaxError(`Cannot read the capture: ${problem} (at byte ${offset})`);
}
