import { hasFunctions, optionalAddon } from './addon/index.js';

/**
 * Sends one message to a Unix datagram socket and returns whether it was accepted; never waits. A path that begins with @
 * is in Linux's abstract namespace. Errors: TypeError for a path that no socket can have.
 */
export type SendDatagram = (path: string, text: string) => boolean;

interface DatagramAddon {
  sendDatagram(path: string, text: string): boolean;
}

/** Null without the addon: Node's own modules send no such messages. */
export function datagramSender(): SendDatagram | null {
  const addon = optionalAddon();
  return isDatagramAddon(addon) ? (path, text) => addon.sendDatagram(path, text) : null;
}

function isDatagramAddon(value: unknown): value is DatagramAddon {
  return hasFunctions(value, ['sendDatagram'] satisfies (keyof DatagramAddon)[]);
}
