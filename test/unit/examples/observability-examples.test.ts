import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

// The examples use the built package, as a reader would: npm run build comes first.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const model = createRequire(import.meta.url).resolve('@ricky0123/vad-web/dist/silero_vad_v5.onnx');
const run = promisify(execFile);
const LOOPBACK = '127.0.0.1';

/** A server on a free port of the loopback interface for as long as `work` runs. */
async function serving<T>(listener: RequestListener, work: (port: number) => Promise<T>): Promise<T> {
  const server = createServer(listener);
  server.listen(0, LOOPBACK);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  try {
    return await work(address.port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  return body;
}

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
}

describe('the document', () => {
  it('has the tables that the catalogues make', async () => {
    await run(process.execPath, ['scripts/make-docs.mjs', '--check'], { cwd: root });
  });

  it('shows the run that the example makes, times apart', async () => {
    const { stdout } = await run(process.execPath, ['examples/observed-run.mjs'], { cwd: root });
    const text = readFileSync(`${root}docs/observability.md`, 'utf8');
    const shown = /<!-- run: .*-->\n```text\n([^`]*)```/.exec(text)?.[1] ?? '';
    const timeless = (run: string) =>
      run
        .trim()
        .replace(/trace [0-9a-f]{32}/, 'trace ID')
        .replace(/\s+[0-9.]+ ms$/gm, ' T')
        .replace(/\s+[0-9.]+ ms {2}/g, ' T ')
        .replace(/(?:under )?[0-9.]+ m?s\b/g, 'T');
    expect(timeless(shown)).toBe(timeless(stdout));
    expect(shown).toContain('correlation id req-42');
    expect(shown).toMatch(/vram_residency\.verify .* INTEGRITY_VIOLATION/);
    expect(shown).toMatch(/1 block of silero-vad repaired/);
  });
});

describe('the examples', () => {
  it('[NA-003] OTLP: one trace of seal, verify, execute and release below the caller’s span', async () => {
    const received: OtlpSpan[] = [];
    const paths = new Set<string>();
    const collector: RequestListener = (request, response) => {
      void bodyOf(request).then((body) => {
        paths.add(`${request.method} ${request.url}`);
        const { resourceSpans } = JSON.parse(body) as {
          resourceSpans: { scopeSpans: { spans: OtlpSpan[] }[] }[];
        };
        received.push(...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
        response.setHeader('content-type', 'application/json').end('{}');
      });
    };
    const { stdout } = await serving(collector, (port) =>
      run(process.execPath, ['examples/otlp.mjs', model], {
        cwd: root,
        env: {
          ...process.env,
          DEVICE: 'host',
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://${LOOPBACK}:${port}`,
        },
      }),
    );
    expect(paths).toEqual(new Set(['POST /v1/traces']));
    const request = received.find(({ name }) => name === 'load and serve');
    expect(stdout).toContain(`2327524 verified bytes, trace ${request?.traceId}`);
    const below = (parent: string | undefined) =>
      received.filter(({ parentSpanId }) => parentSpanId === parent).map(({ name }) => name);
    expect(below(request?.spanId)).toEqual(
      ['seal', 'verify', 'execute', 'release'].map((name) => `vram_residency.${name}`),
    );
    const seal = received.find(({ name }) => name === 'vram_residency.seal');
    expect(below(seal?.spanId)).toEqual(
      ['read', 'hash', 'upload', 'freeze', 'device-tree', 'sign'].map(
        (stage) => `vram_residency.seal.${stage}`,
      ),
    );
    expect(received.filter(({ traceId }) => traceId === request?.traceId).length).toBeGreaterThan(10);
  });

  it('[WK-004] Prometheus: the metrics of a sealed and verified model', async () => {
    const child = spawn(process.execPath, ['examples/prometheus.mjs', model], {
      cwd: root,
      env: { ...process.env, DEVICE: 'host', PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    try {
      const [line] = await Promise.race([
        once(child.stdout, 'data'),
        exited.then(() => Promise.reject(new Error('the example ended early'))),
      ]);
      const url = String(line).trim();
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
      const text = await (await fetch(url)).text();
      const value = (name: string, labels: string) => {
        const found = text.split('\n').find((one) => one.startsWith(`${name}{`) && one.includes(labels));
        return Number(found?.split(' ').at(-1));
      };
      expect(value('vram_residency_operations_total', 'operation="seal",outcome="ok"')).toBe(1);
      expect(value('vram_residency_operations_total', 'operation="verify",outcome="ok"')).toBe(1);
      expect(value('vram_residency_operation_duration_count', 'operation="seal"')).toBe(1);
      // 569 blocks of 4096 bytes hold the model's 2327524.
      expect(value('hw_gpu_memory_usage', 'hw_id="host"')).toBe(569 * 4096);
    } finally {
      child.kill('SIGINT');
    }
    expect(await exited).toEqual([0, null]);
  });
});
