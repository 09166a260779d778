import type { Residency } from '../policy/index.js';

const WORDS: Readonly<Record<Residency, string>> = {
  'device-local': 'device-local: VRAM, known from the driver',
  unified: 'unified: memory shared between GPU and CPU',
  unproven: 'unproven: a GPU, but the platform does not tell where its memory lives',
  host: 'host: HOST MEMORY, NOT VRAM',
};

/** A residency class for people. */
export function residencyInWords(residency: Residency): string {
  return WORDS[residency];
}
