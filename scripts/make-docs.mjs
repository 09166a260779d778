// node scripts/make-docs.mjs: writes the tables of docs/observability.md from the typed catalogues of events, narrations
// and metrics.
//   --check    changes nothing; exit code 1 if a table differs from the catalogues
//   --run      also rewrites the observed run (examples/observed-run.mjs; needs a build)
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const document = `${root}docs/observability.md`;

/** The catalogues, straight from the TypeScript sources. */
async function catalogues() {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        export { EVENT_MEANINGS, EVENT_TYPES, SAMPLE_PAYLOADS, SAMPLE_ERROR, sampleEvent } from './test/support/events.ts';
        export { NARRATED_ACTIONS } from './src/narration/index.ts';
        export { createRedactor } from './src/narration/redact.ts';
        export { narrate } from './src/narration/observer.ts';
        export { METRICS } from './src/telemetry/metrics.ts';`,
      resolveDir: root,
    },
    bundle: true,
    format: 'esm',
    write: false,
  });
  return await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString('base64')}`);
}

const table = (heads, rows) =>
  [heads, heads.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
const code = (text) => `\`${text}\``;

function tables({ EVENT_MEANINGS, EVENT_TYPES, SAMPLE_PAYLOADS, SAMPLE_ERROR, METRICS, ...narration }) {
  const { createRedactor, NARRATED_ACTIONS, narrate, sampleEvent } = narration;
  const redactor = createRedactor();
  const narrated = (event) => narrate(event, redactor, true);
  const failed = { ok: false, error: SAMPLE_ERROR };
  const operations = 'open seal verify execute heal scrub drill attest lend release capacity'.split(' ');
  const narrations = [
    narrated(sampleEvent('seal.verification_failed', { operation: 'verify' })),
    narrated(
      sampleEvent('vram.allocation_failed', { error: { ...SAMPLE_ERROR, code: 'INSUFFICIENT_VRAM' } }),
    ),
    ...EVENT_TYPES.filter((type) => type !== 'operation.finished').map((type) => narrated(sampleEvent(type))),
    narrated(sampleEvent('vram.deallocated', { error: SAMPLE_ERROR, wiped: false })),
    narrated(sampleEvent('execution.finished', failed)),
    narrated(sampleEvent('scrub.finished', { ok: false })),
    ...operations.map((operation) => narrated(sampleEvent('operation.finished', { ...failed, operation }))),
  ].filter((narration) => narration !== null);
  const example = (action, level, field) => {
    const found = narrations.find(
      (one) => one.action === action && (one.level === 'info') === (level === 'info'),
    );
    return found === undefined ? '' : found[field];
  };
  const actionOf = (type) => {
    const narration = type === 'operation.finished' ? null : narrated(sampleEvent(type));
    return narration === null ? '' : code(narration.action);
  };
  const actions = Object.entries(NARRATED_ACTIONS);
  return {
    events: table(
      ['event', 'when', 'own fields', 'narrated as'],
      EVENT_TYPES.map((type) => [
        code(type),
        EVENT_MEANINGS[type],
        Object.keys(SAMPLE_PAYLOADS[type]).map(code).join(', '),
        type === 'operation.finished' ? 'any failure that no specific event has reported' : actionOf(type),
      ]),
    ),
    narrations: table(
      ['action', 'meaning', 'on success', 'on failure'],
      actions.map(([action, what]) => [
        code(action),
        what,
        example(action, 'info', 'human'),
        example(action, 'not', 'human'),
      ]),
    ),
    storybook: table(
      ['action', 'second sentence'],
      actions.map(([action]) => [
        code(action),
        example(action, 'info', 'storybook') || example(action, 'not', 'storybook'),
      ]),
    ),
    metrics: table(
      ['metric', 'kind', 'unit', 'attributes', 'name', 'meaning'],
      Object.entries(METRICS).map(([name, { kind, unit, attributes, convention, description }]) => [
        code(name),
        kind,
        code(unit),
        attributes.map(code).join(', '),
        convention === 'incubating' ? 'convention, incubating' : 'our own',
        description,
      ]),
    ),
  };
}

function observedRun() {
  const output = execFileSync(process.execPath, [`${root}examples/observed-run.mjs`], { encoding: 'utf8' });
  return `\`\`\`text\n${output.trimEnd()}\n\`\`\``;
}

function withSection(text, name, content) {
  const [begin, end] = [`<!-- ${name}: made by scripts/make-docs.mjs -->\n`, `\n<!-- end of ${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end, from);
  if (from < 0 || to < 0) throw new Error(`docs/observability.md has no section "${name}"`);
  return text.slice(0, from + begin.length) + content + text.slice(to);
}

const before = readFileSync(document, 'utf8');
let after = before;
for (const [name, content] of Object.entries(tables(await catalogues())))
  after = withSection(after, name, content);
if (process.argv.includes('--run')) after = withSection(after, 'run', observedRun());
if (!process.argv.includes('--check')) writeFileSync(document, after);
else if (after !== before) {
  console.error('docs/observability.md differs from the catalogues: run node scripts/make-docs.mjs');
  process.exitCode = 1;
}
