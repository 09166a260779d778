import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as api from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { afterEach, describe, expect, it } from 'vitest';
import { openTelemetry } from '../../../src/node/opentelemetry.js';
import { nodePlatform } from '../../../src/node-platform.js';

afterEach(() => {
  api.context.disable();
});

/** What a program prints that uses the package as users load it. */
function printedBy(program: string): string {
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  return execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    encoding: 'utf8',
  });
}

const LOADED = `Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('opentelemetry')).length`;
const SEAL = `
  import { createRequire } from 'node:module';
  import { bytesSource, VramManager } from './dist/bundle/lib/index.js';
  const manager = await VramManager.open({ device: 'host', policy: 'any', workerId: 'spans' });
  await manager.seal(bytesSource(new Uint8Array(10000)));
  await manager.close();`;

describe('the OpenTelemetry API in Node', () => {
  it('is not loaded by a program that does not use it', () => {
    expect(printedBy(`${SEAL} console.log(${LOADED});`)).toBe('0\n');
  });

  it('is loaded where a program has it', () => {
    const printed = printedBy(`import '@opentelemetry/api'; ${SEAL} console.log(${LOADED} > 0);`);
    expect(printed).toBe('true\n');
  });

  it('is the instance that the program imports', () => {
    expect(openTelemetry().trace).toBe(api.trace);
  });

  it('[NA-003] gives operations the active span of a program that registered a context manager', () => {
    api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const span = new BasicTracerProvider().getTracer('caller').startSpan('request');
    const { traceId, spanId } = span.spanContext();
    const active = api.context.with(api.trace.setSpan(api.ROOT_CONTEXT, span), () =>
      nodePlatform({}).activeTraceparent?.(),
    );
    expect(active).toBe(`00-${traceId}-${spanId}-01`);
    expect(nodePlatform({}).activeTraceparent?.()).toBeNull();
  });
});
