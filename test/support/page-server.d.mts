import type { IncomingMessage, ServerResponse } from 'node:http';

export function bundleScript(entry: string): Promise<Uint8Array>;
export function servePage(
  entry: string,
  files?: Readonly<
    Record<string, Uint8Array | ((request: IncomingMessage, response: ServerResponse) => void)>
  >,
): Promise<{ url: string; bytes: number; close(): Promise<void> }>;
