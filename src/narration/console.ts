import type { NarrationSink } from './types.js';

/** For pages: one console line for each narration, at its level, with the other fields as an object after the sentence. */
export function consoleSink(target: Pick<Console, 'info' | 'warn' | 'error'> = console): NarrationSink {
  return {
    tell(narration) {
      const { human, level, ...fields } = narration;
      target[level](human, fields);
    },
  };
}
