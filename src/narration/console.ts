import type { NarrationSink } from './types.js';

/** For pages: one console line a narration, by level, with the fields behind the sentence. */
export function consoleSink(target: Pick<Console, 'info' | 'warn' | 'error'> = console): NarrationSink {
  return {
    tell(narration) {
      const { human, level, ...fields } = narration;
      target[level](human, fields);
    },
  };
}
