// node scripts/bench-gate.mjs [--against docs/performance.json] [--report FILE]: fails if a row of `vram-residency bench`
// fell 20 % below its last committed ratio. Measures, or takes the JSON of an earlier bench (--report). Only ratios are
// compared, and only between machines whose processors hash with the same instructions; others cannot show a regression.
// Not part of `npm test`, because other load on the machine changes ratios by more than that.
//
// Exit code 0: no row fell, or nothing could be compared, which is reported; 1: a row fell or is missing; 2: wrong usage.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** How far a row may fall. */
const TOLERANCE = 0.2;
/** Rows whose peer is a program that a machine may lack. */
const OPTIONAL = /^digest-/;

/**
 * Compares the rows of two documents of `bench --json`. `why` says why nothing was compared, or is null; `rows` has each
 * committed row with its verdict.
 */
export function compared(committed, measured) {
  const why = unlike(committed, measured);
  if (why !== null) return { why, rows: [], failed: false };
  const found = new Map(measured.pairs.map((pair) => [pair.id, pair]));
  const rows = committed.pairs.map(({ id, ours, ratio }) => {
    const now = found.get(id);
    const verdict =
      now === undefined
        ? OPTIONAL.test(id)
          ? 'its peer is not here'
          : 'gone'
        : now.ours !== ours
          ? 'not compared: another size'
          : now.ratio < ratio * (1 - TOLERANCE)
            ? 'fell'
            : 'holds';
    return { id, committed: ratio, measured: now?.ratio ?? null, verdict };
  });
  return { why, rows, failed: rows.some(({ verdict }) => verdict === 'fell' || verdict === 'gone') };
}

/** Why two machines cannot be compared; null if they can. */
function unlike(committed, measured) {
  if (committed.hashers.join() !== measured.hashers.join()) {
    const [here, there] = [measured, committed].map(({ hashers }) => hashers.join(', ') || 'none');
    return `the processor hashes with other instructions (${here}) than the committed one (${there})`;
  }
  if (committed.device.name !== measured.device.name)
    return `the device is ${measured.device.name}, the committed one ${committed.device.name}`;
  return null;
}

function main() {
  const { values } = parseArgs({
    options: { against: { type: 'string', default: 'docs/performance.json' }, report: { type: 'string' } },
  });
  const root = fileURLToPath(new URL('..', import.meta.url));
  const committed = JSON.parse(readFileSync(values.against, 'utf8'));
  const bench = [`${root}dist/bundle/lib/main.js`, 'bench', '--json', '--device', committed.device.id];
  const measured = JSON.parse(
    values.report === undefined
      ? execFileSync(process.execPath, bench, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
      : readFileSync(values.report, 'utf8'),
  );
  const { why, rows, failed } = compared(committed, measured);
  if (why !== null) console.log(`nothing was compared: ${why}`);
  for (const { id, committed: before, measured: now, verdict } of rows)
    console.log(
      `${id.padEnd(18)} ${before.toFixed(2).padStart(6)} -> ${(now?.toFixed(2) ?? '-').padStart(6)}  ${verdict}`,
    );
  process.exitCode = failed ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  }
}
