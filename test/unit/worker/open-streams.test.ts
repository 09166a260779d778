import { describe, expect, it } from 'vitest';
import { OpenStreams } from '../../../src/worker/http/open-streams.js';

const STREAM = { headers: { 'content-type': 'text/event-stream' } };
const admitted = async (): Promise<boolean> => true;

interface Source {
  readonly answer: Response;
  send(text: string): void;
  end(): void;
  fail(): void;
  cancelled: boolean;
}

function source(): Source {
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const made: Source = {
    answer: new Response(
      new ReadableStream<Uint8Array>({
        start: (given) => {
          controller = given;
        },
        cancel: () => {
          made.cancelled = true;
        },
      }),
      STREAM,
    ),
    send: (text) => controller.enqueue(new TextEncoder().encode(text)),
    end: () => controller.close(),
    fail: () => controller.error(new Error('the log is gone')),
    cancelled: false,
  };
  return made;
}

describe('streams of events', () => {
  it('are at most so many at a time; each that ends, fails or is left makes room', async () => {
    const streams = new OpenStreams(1);
    const another = async () => await streams.guard(source().answer, 'a', admitted);
    for (const how of ['end', 'fail', 'leave'] as const) {
      const one = source();
      const open = await streams.guard(one.answer, 'a', admitted);
      const refused = source();
      await expect(streams.guard(refused.answer, 'a', admitted)).rejects.toMatchObject({
        code: 'QUEUE_FULL',
      });
      expect(refused.cancelled).toBe(true);
      if (how === 'end') {
        one.send('last');
        one.end();
        expect(await open.text()).toBe('last');
      } else if (how === 'fail') {
        one.fail();
        await expect(open.text()).rejects.toThrow('the log is gone');
      } else {
        await open.body?.cancel();
        expect(one.cancelled).toBe(true);
      }
      await (await another()).body?.cancel();
    }
  });

  it('of one caller leave the others theirs', async () => {
    const streams = new OpenStreams(1);
    const open = async (caller: string) => await streams.guard(source().answer, caller, admitted);
    const [first] = [await open('a'), await open('b')];
    for (const caller of ['a', 'b']) await expect(open(caller)).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    await first.body?.cancel();
    await expect(open('b')).rejects.toMatchObject({ code: 'QUEUE_FULL' });
    await open('a');
  });

  it('pass on nothing once their caller is not admitted any more', async () => {
    const one = source();
    let isAdmitted = true;
    const open = await new OpenStreams().guard(one.answer, 'a', async () => isAdmitted);
    const reader = open.body?.getReader();
    one.send('seen');
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe('seen');
    const next = reader?.read();
    isAdmitted = false;
    one.send('not for you');
    expect(await next).toEqual({ done: true, value: undefined });
    expect(one.cancelled).toBe(true);
  });

  it('are not confused with other answers', async () => {
    const streams = new OpenStreams(0);
    for (const answer of [new Response('x'), new Response(null, { status: 204 })]) {
      expect(await streams.guard(answer, 'a', admitted)).toBe(answer);
    }
  });
});
