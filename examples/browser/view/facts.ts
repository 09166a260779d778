// Facts about the sealed model and its memory.
import type { Opened } from '../protocol.js';
import { byId, element } from './dom.js';
import { bytes } from './format.js';

const SHOWN_DIGITS = 8;

export function showFacts({ device, model }: Opened): void {
  const fact = (term: string, value: string, note: string): HTMLElement =>
    element('div', '', element('dt', '', term), element('dd', '', value, element('small', '', note)));
  const staying =
    model.stayingBytes === 0
      ? model.immutability
      : `${bytes(model.stayingBytes)} stay in the graph, unsealed`;
  byId('facts', HTMLElement).replaceChildren(
    fact('Model', model.name, `${bytes(model.byteLength)} sealed; ${staying}`),
    fact('Adapter', device.name, device.fallback ?? 'opened through WebGPU'),
    fact('Residency class', device.residency, device.reason),
    fact('Sealed digest', shortDigest(model.fsverity), 'fs-verity, SHA-256; the log has the whole of it'),
  );
}

function shortDigest(digest: string): string {
  const hex = digest.slice(digest.lastIndexOf(':') + 1);
  return `${hex.slice(0, SHOWN_DIGITS)}…${hex.slice(-SHOWN_DIGITS)}`;
}
