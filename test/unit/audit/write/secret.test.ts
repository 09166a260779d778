import { describe, expect, it } from 'vitest';
import { MemorySink } from '../../../../src/audit/index.js';
import { auditObserver } from '../../../../src/audit/write/observer.js';
import { RecordedSecret } from '../../../../src/audit/write/secret.js';
import { nodeCrypto } from '../../../../src/node/crypto.js';
import { refusal } from '../../../support/refusal.js';
import { event, TOKEN, WORKER } from '../../node/audit/support.js';

describe('[AU-006] what looks like a secret in a label of the caller', () => {
  it.each([
    ['a key of a hub', 'job hf_aBcDeFgHiJkLmNoPqRsT', 'aBcDeFgHiJkLmNoPqRsT'],
    ['a password behind its name', 'password=correct-horse', 'correct-horse'],
    ['a credential of HTTP', 'Bearer abcdef0123456789', 'abcdef0123456789'],
    ['a JSON web token', 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefghijk', 'eyJhbGciOiJIUzI1NiJ9'],
    ['a password in a URL', 'https://me:correct-horse@host/model', 'correct-horse'],
  ])('%s is in no record', async (_name, label, secret) => {
    const sink = new MemorySink();
    const log = await auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto });
    await log.on(event('vram.sealed', { correlationId: label, modelRef: label }));
    await log.close();
    const text = sink
      .records()
      .map((record) => JSON.stringify(record))
      .join('\n');
    expect(text).toContain('[redacted]');
    expect(text).not.toContain(secret);
  });

  it('ids of requests, digests and paths stay as they are', async () => {
    const sink = new MemorySink();
    const log = await auditObserver({ sink, workerId: WORKER, token: TOKEN, crypto: nodeCrypto });
    const ids = ['7f3c1e5a-9f0b-4b1e-8a53-0c1d2e3f4a5b', 'a'.repeat(64), 'models/llama-3/part-1 of 2'];
    for (const correlationId of ids) await log.on(event('vram.sealed', { correlationId }));
    await log.close();
    expect(
      sink
        .records()
        .slice(1, 4)
        .map(({ correlationId }) => correlationId),
    ).toEqual(ids);
  });
});

describe('[AU-006] the token in a label', () => {
  it('is redacted each time, in short texts and long ones, and refused in a name', async () => {
    const secret = new RecordedSecret(TOKEN);
    const token = new TextDecoder().decode(TOKEN);
    for (let i = 0; i < 2; i++) {
      expect(secret.clean(`a ${token} b`)).toBe('a [redacted] b');
      expect(secret.clean('harmless')).toBe('harmless');
      expect(secret.clean(`${'x'.repeat(300)}${token}`)).toBe(`${'x'.repeat(300)}[redacted]`);
      expect(secret.clean('y'.repeat(300))).toBe('y'.repeat(300));
    }
    for (let i = 0; i < 600; i++) expect(secret.clean(`text ${i}`)).toBe(`text ${i}`);
    expect(secret.clean(token)).toBe('[redacted]');
    expect(await refusal(() => secret.refuseIn('workerId', token))).toBe(
      'INVALID_INPUT: "workerId" must not contain the token',
    );
    expect(await refusal(() => secret.refuseIn('workerId', 'worker'))).toBe('accepted');
  });
});
