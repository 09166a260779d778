import { writeSync } from 'node:fs';
import { openAuditDirectory } from '../../../../src/node/audit/index.js';
import { event, TOKEN, WORKER } from '../../audit/events.js';

// A busy writer, to be killed. Tells on its standard output, a line at once, what the log has acknowledged.
const [dir = '', keyFile = '', round = ''] = process.argv.slice(2);
const log = await openAuditDirectory({
  dir,
  keyFile,
  token: TOKEN,
  workerId: WORKER,
  maxSegmentBytes: 40_000,
});
const acknowledge = (text: string): void => {
  writeSync(1, `${text}\n`);
};
acknowledge('open');

let grouped = 0;
async function critical(lane: number): Promise<void> {
  for (let i = 0; ; i++) {
    const shardId = `c-${round}-${lane}-${i}`;
    await log.observer.on(event('vram.sealed', { shardId }));
    acknowledge(shardId);
  }
}

async function flushes(): Promise<void> {
  for (;;) {
    for (let i = 0; i < 40; i++)
      await log.observer.on(event('seal.verified', { shardId: `g-${round}-${grouped++}` }));
    const upTo = grouped;
    await log.flush();
    acknowledge(`flush ${upTo}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

await Promise.all([critical(0), critical(1), critical(2), flushes()]);
