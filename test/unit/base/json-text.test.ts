import { expect, it } from 'vitest';
import { visibleJson } from '../../../src/base/index.js';
import { jsonDocument, jsonLine } from '../../../src/cli/output.js';
import { pinoSink } from '../../../src/node/narration.js';

const UNSEEN = 'a\u007f\u009b31m\u202e\u2066\u2069\u200d\ufeff\u00ad\u2028\u{e0041}é字🙂\n';

it('[IV-007] JSON for people and programs shows C1 and bidirectional controls as escapes, and means the same', () => {
  for (const text of [jsonDocument({ [UNSEEN]: UNSEEN }), jsonLine({ [UNSEEN]: UNSEEN })]) {
    expect(text.trimEnd()).not.toMatch(/[\u007f-\u009f\u2028\u2029\p{Cf}]/u);
    expect(text).toContain('\\u009b31m\\u202e');
    expect(text).toContain('é字🙂');
    expect(JSON.parse(text)).toEqual({ [UNSEEN]: UNSEEN });
  }
});

it('[IV-007] so does the log of --log json', () => {
  const lines: string[] = [];
  const sink = pinoSink({ write: (line) => lines.push(line) });
  sink.tell({
    level: 'info',
    actor: 'manager',
    action: 'open',
    target: UNSEEN,
    human: UNSEEN,
    workerId: 'w',
    correlationId: UNSEEN,
    device: null,
    modelRef: UNSEEN,
    durationMs: null,
    errorKind: null,
    retriable: null,
    emittedBy: 'test@0',
    emittedAt: '2026-01-01T00:00:00.000Z',
    traceId: null,
    spanId: null,
  });
  expect(lines.join('').trimEnd()).not.toMatch(/[\u007f-\u009f\u2028\u2029\p{Cf}]/u);
  expect(JSON.parse(lines.join(''))).toMatchObject({ msg: UNSEEN });
});

it('leaves other text alone', () => {
  expect(visibleJson('{"a":"\\u0000 é"}')).toBe('{"a":"\\u0000 é"}');
});
