import { createRequire } from 'node:module';
import type { pino } from 'pino';
import { visibleJson } from '../base/index.js';
import type { NarrationSink } from '../narration/index.js';

/** An object with a `write` method, such as process.stderr. */
export interface TextTarget {
  write(text: string): unknown;
}

/** JSON lines by pino: `level`, `time`, `msg` (the sentence) and the narration's fields. */
export function pinoSink(target: TextTarget): NarrationSink {
  const logger = loadPino()(
    { base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => void target.write(visibleJson(line)) },
  );
  return {
    tell({ level, human, emittedAt, ...fields }) {
      logger[level]({ time: emittedAt, ...fields }, human);
    },
  };
}

/** Loaded with the first sink: most programs make none and start faster without it. */
function loadPino(): typeof pino {
  return createRequire(import.meta.url)('pino');
}

const COLOURS = { info: '\u001b[32m', warn: '\u001b[33m', error: '\u001b[31m' } as const;

/** One sentence per line, for human readers; coloured on a terminal. */
export function prettySink(target: TextTarget, options: { readonly colour: boolean }): NarrationSink {
  return {
    tell({ level, human, storybook, emittedAt }) {
      const time = emittedAt.slice(11, 23);
      const mark = options.colour ? `${COLOURS[level]}${level.padEnd(5)}\u001b[0m` : level.padEnd(5);
      target.write(`${time} ${mark} ${human}\n`);
      if (storybook !== undefined) target.write(`${' '.repeat(19)}${storybook}\n`);
    },
  };
}
