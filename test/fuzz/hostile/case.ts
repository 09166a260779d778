/** A file that its reader must refuse, and the whole message with which it does, after the quoted file name. */
export interface HostileCase {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly message: string;
}

export const hostile = (what: string, bytes: Uint8Array, message: string): HostileCase => ({
  what,
  bytes,
  message,
});
