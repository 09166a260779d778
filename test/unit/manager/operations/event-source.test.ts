import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../../src/source/index.js';
import { failure, openHost, pattern } from '../fixture.js';

const bytes = pattern(10_000);

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('every operation', () => {
  it.each<[string, unknown]>([
    ['"options" must be an object', 5],
    ['"options" must be an object', null],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: 'x' }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: `${TRACE}0` }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: `0${TRACE}` }],
    ['"traceparent" must be a W3C traceparent of version 00', { traceparent: [TRACE] }],
    ['"signal" must be an AbortSignal', { signal: {} }],
    ['"onProgress" must be a function', { onProgress: {} }],
    ['"correlationId" must be a non-empty string', { correlationId: '' }],
  ])('refuses with words: %s', async (message, options) => {
    const { manager, recorder } = await openHost();
    const given = JSON.parse(JSON.stringify(options));
    expect(await failure(manager.capacity(given))).toMatchObject({ code: 'INVALID_INPUT', message });
    expect(recorder.types('capacity')).toEqual([
      'operation.started',
      'validation.failed',
      'operation.finished',
    ]);
    await manager.close();
  });

  it('takes a traceparent whose ids begin with zeros', async () => {
    const { manager, recorder } = await openHost();
    const traceparent = `00-0000000000000000000000000000000a-000000000000000b-00`;
    await manager.capacity({ traceparent });
    expect(recorder.events.at(-1)).toMatchObject({ traceparent });
    await manager.close();
  });

  it("passes on what the caller's own options throw, and tells nothing", async () => {
    const { manager, recorder } = await openHost();
    recorder.events.length = 0;
    const own = new Error('mine');
    const options = {
      get correlationId(): string {
        throw own;
      },
    };
    expect(await failure(manager.capacity(options))).toBe(own);
    expect(recorder.events).toEqual([]);
    await manager.close();
  });

  it("tells of what the caller's own code threw without repeating it", async () => {
    const { manager, recorder } = await openHost();
    const shard = await manager.seal(bytesSource(bytes));
    await failure(
      manager.execute(shard, () => {
        throw new Error('0x7f');
      }),
    );
    expect(recorder.of('operation.finished').at(-1)?.error).toEqual({
      code: 'ABORTED',
      kind: 'invalid',
      scope: null,
      message: "the caller's own code threw",
    });
    await manager.close();
  });
});
