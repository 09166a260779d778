import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

interface Program {
  readonly name: string;
  readonly code: string;
  /** What the compiler says, in order; empty: it accepts the program. */
  readonly refused: readonly string[];
}

/** Programs as users write them, against the types that the entry exports. */
const PROGRAMS: readonly Program[] = [
  {
    name: '[WK-005] open, seal, verify, execute and release with the least that is needed',
    code: `
      const manager: VramManager = await VramManager.open({ workerId: 'w', policy: 'any', device: 'host' });
      const shard: SealedShard = await manager.seal(bytesSource(new Uint8Array(1)), { modelRef: 'm' });
      const { verified }: VerificationReport = await manager.verify(shard);
      await manager.verify(JSON.stringify(shard));
      const length: number = await manager.execute(shard, async (lease) => lease.byteLength);
      await manager.release(shard);
      await manager.close();
      console.log(verified, length);`,
    refused: [],
  },
  {
    name: '[WK-005] options handed on as they came, some of them undefined',
    code: `
      const signal = process.argv[2] === undefined ? undefined : new AbortController().signal;
      const manager = await VramManager.open({ workerId: 'w', token: undefined, budgetBytes: undefined });
      const shard = await manager.seal(bytesSource(new Uint8Array(1)), { signal, expected: undefined });
      await manager.verify(shard, { signal });`,
    refused: [],
  },
  { name: '[WK-005] open without options', code: 'await VramManager.open();', refused: ['TS2554'] },
  {
    name: '[WK-005] open without a worker id',
    code: `await VramManager.open({ policy: 'gpu' });`,
    refused: ['TS2741'],
  },
  {
    name: '[VP-007] a policy that does not exist',
    code: `await VramManager.open({ workerId: 'w', policy: 'none' });`,
    refused: ['TS2322'],
  },
  {
    name: '[WK-005] a misspelt option',
    code: `await VramManager.open({ workerId: 'w', budgetByte: 1 });`,
    refused: ['TS2561'],
  },
  {
    name: 'a token that is text',
    code: `await VramManager.open({ workerId: 'w', token: 'secret' });`,
    refused: ['TS2322'],
  },
  {
    name: '[CI-002] assigning to fields of a sealed shard and of its device',
    code: `
      declare const shard: SealedShard;
      shard.shardId = 'other';
      shard.device.index = 1;`,
    refused: ['TS2540', 'TS2540'],
  },
  {
    name: '[CI-002] a sealed shard made by hand from a half of its fields',
    code: `const json: SealedShardJson = { v: 1, sealed: true, shardId: 'x' };`,
    refused: ['TS2322'],
  },
  {
    name: '[MS-001] an address of device memory in a handle, a lease or a report',
    code: `
      declare const shard: SealedShard;
      declare const report: VerificationReport;
      declare const lease: Lease;
      console.log(shard.address, report.pointer, lease.pointer);`,
    refused: ['TS2339', 'TS2339', 'TS2339'],
  },
  {
    name: '[WK-002] every error code is known, and every kind',
    code: `
      const kinds: Record<ErrorKind, true> = { invalid: true, retriable: true, fatal: true };
      const codes: Record<ErrorCode, true> = {
        INVALID_INPUT: true, NOT_SEALED: true, NOT_FOUND: true, SEAL_VERIFICATION_FAILED: true, SOURCE_MISMATCH: true,
        STOPPED: true, ABORTED: true, INSUFFICIENT_VRAM: true, ALLOCATION_FAILED: true, DEVICE_UNAVAILABLE: true,
        AUDIT_FAILED: true, INTEGRITY_VIOLATION: true, RELEASE_FAILED: true, DEVICE_LOST: true, POLICY_VIOLATION: true,
        AUDIT_CORRUPT: true, WITNESS_FAILED: true,
      };
      console.log(kinds, codes);`,
    refused: [],
  },
  {
    name: '[WK-002] an error code that does not exist',
    code: `
      declare const error: unknown;
      isVramError(error, 'OUT_OF_MEMORY');`,
    refused: ['TS2345'],
  },
  {
    name: '[WK-002] isVramError narrows to the figures of the error',
    code: `
      declare const error: unknown;
      if (isVramError(error, 'INSUFFICIENT_VRAM')) {
        const needed: number | undefined = error.neededBytes;
        console.log(needed);
      }`,
    refused: [],
  },
  {
    name: '[CI-010] the report of damage that an error carries',
    code: `
      declare const error: unknown;
      if (isVramError(error, 'INTEGRITY_VIOLATION')) {
        const blocks: number | undefined = error.report?.damaged?.[0]?.firstBlock;
        console.log(blocks, error.report.damaged, error.report?.wrong);
      }`,
    refused: ['TS18048', 'TS2339'],
  },
  {
    name: 'the fields of an unchecked error',
    code: `
      declare const error: unknown;
      console.log(error.code);`,
    refused: ['TS18046'],
  },
  {
    name: '[AU-001] an event is narrowed by its type to the fields of that type alone',
    code: `
      declare const event: OperationEvent;
      if (event.type === 'vram.sealed') {
        const length: number = event.byteLength;
        console.log(length, event.workerId, event.correlationId);
      }
      if (event.type === 'seal.verified') console.log(event.sealedAt);`,
    refused: ['TS2339'],
  },
  {
    name: '[AU-001] an event of a type that does not exist',
    code: `const type: EventType = 'vram.sealed.twice';`,
    refused: ['TS2322'],
  },
  {
    name: '[CI-007] a verification mode that does not exist',
    code: `
      declare const manager: VramManager;
      declare const shard: SealedShard;
      await manager.verify(shard, { mode: 'never' });`,
    refused: ['TS2322'],
  },
  {
    name: '[CI-009] a digest that is not one of the two',
    code: `
      declare const manager: VramManager;
      await manager.seal(bytesSource(new Uint8Array(1)), { digests: ['md5'] });`,
    refused: ['TS2322'],
  },
  {
    name: '[IV-001] a size that is text',
    code: `await VramManager.open({ workerId: 'w', maxShardBytes: '1 GiB' });`,
    refused: ['TS2322'],
  },
  {
    name: 'an array of numbers in place of bytes',
    code: 'bytesSource([1, 2, 3]);',
    refused: ['TS2740'],
  },
  {
    name: 'changing the report of a verification',
    code: `
      declare const report: VerificationReport;
      report.verified = true;
      report.damaged.push({ firstBlock: 0, blocks: 1, byteOffset: 0, byteLength: 1 });`,
    refused: ['TS2540', 'TS2339'],
  },
  {
    name: 'an observer that answers with something else than nothing or a promise',
    code: `const observer: Observer = { name: 'x', required: false, on: () => 5 };`,
    refused: ['TS2322'],
  },
  {
    name: "a source of one's own",
    code: `
      const source: Source = {
        byteLength: 1,
        label: 'mine',
        async *stream() { yield new Uint8Array(1); },
        unchanged: async () => undefined,
        close: async () => undefined,
      };
      console.log(source);`,
    refused: [],
  },
  {
    name: 'a source without a length',
    code: `
      const source: Source = {
        label: 'mine',
        async *stream() { yield new Uint8Array(1); },
        unchanged: async () => undefined,
        close: async () => undefined,
      };
      console.log(source);`,
    refused: ['TS2741'],
  },
];

const HEAD = `import {
  bytesSource, isVramError, VramManager,
  type ErrorCode, type ErrorKind, type EventType, type Lease, type Observer, type OperationEvent,
  type SealedShard, type SealedShardJson, type Source,
  type VerificationReport,
} from '../../src/index.js';
export type Used = [
  ErrorCode, ErrorKind, EventType, Lease, Observer, OperationEvent, SealedShard, SealedShardJson, Source, VerificationReport,
];
export const used = [bytesSource, isVramError, VramManager];
`;

describe('types: one compilation, every program judged by what the compiler says of it', () => {
  let folder = '';
  let said: readonly (readonly string[])[] = [];
  let elsewhere: readonly string[] = [];

  beforeAll(async () => {
    const cache = join(root, '.cache');
    mkdirSync(cache, { recursive: true });
    folder = mkdtempSync(join(cache, 'types-'));
    PROGRAMS.forEach(({ code }, index) => {
      writeFileSync(join(folder, `program-${index}.ts`), `${HEAD}${code}\n`);
    });
    const compilerOptions = {
      noEmit: true,
      rootDir: '../..',
      noUnusedLocals: false,
      noPropertyAccessFromIndexSignature: false,
    };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['program-*.ts'] }),
    );
    const output = await new Promise<string>((resolve) => {
      const args = [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder, '--pretty', 'false'];
      execFile(process.execPath, args, { cwd: folder, maxBuffer: 2 ** 24 }, (_error, stdout) =>
        resolve(stdout),
      );
    });
    const diagnostics = [...output.matchAll(/^(\S+?)\(\d+,\d+\): error (TS\d+)/gm)].map(([, path, code]) => ({
      index: Number(/program-(\d+)\.ts$/.exec(path ?? '')?.[1] ?? Number.NaN),
      text: `${path} ${code}`,
      code: code ?? '',
    }));
    said = PROGRAMS.map((_, index) =>
      diagnostics.filter((one) => one.index === index).map(({ code }) => code),
    );
    elsewhere = diagnostics.filter(({ index }) => Number.isNaN(index)).map(({ text }) => text);
  }, 120_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('the compiler ran, and has nothing to say of the library itself', () => {
    expect(elsewhere).toEqual([]);
    expect(said.some((codes) => codes.length > 0)).toBe(true);
  });

  it.each(
    PROGRAMS.map(
      ({ name, refused }, index) => [name, refused.join(', ') || 'accepted', refused, index] as const,
    ),
  )('%s: %s', (_name, _verdict, refused, index) => {
    expect(said[index]).toEqual(refused);
  });
});
