import { open, unlink } from 'node:fs/promises';
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { type AttestationReport, MAX_ENVELOPE_CHARACTERS, verifyAttestation } from '../../attest/index.js';
import { fromHex, invalidInput } from '../../base/index.js';
import {
  codeOf,
  hasCode,
  nodeCrypto,
  openAttestationKey,
  publicKeyPem,
  readPublicKeyPem,
} from '../../node/index.js';
import type { SealedShard } from '../../seal/index.js';
import { expectedDigests } from '../check-expected.js';
import { checkItems } from '../check-files.js';
import { checkIndexes } from '../check-indexes.js';
import { isTarget } from '../check-target.js';
import type { AddCommand, CommandContext } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { withManager } from '../manager-session.js';
import { type ModelOptions, minBytesOption, modelOptions } from '../model-options.js';
import { type DeviceOptions, deviceOptions, jsonOption, parseCount, trustOwnerOption } from '../options.js';
import { jsonDocument } from '../output.js';
import { readText } from '../read-text.js';
import { residencyInWords } from '../residency.js';
import { escapeForTerminal, formatMs } from '../text.js';

const MAX_AGE_SECONDS = 1_000_000_000;
const HEX = 'hex';

/** `attest make|verify|key`: residency statements. */
export const addAttest: AddCommand = (program, context, done) => {
  const attest = program.command('attest').description('make and check signed residency statements');
  addMake(attest, context, () => done(EXIT.ok));
  addVerify(attest, context, () => done(EXIT.ok));
  addKey(attest, context, () => done(EXIT.ok));
};

interface MakeOptions extends DeviceOptions, ModelOptions {
  readonly nonce: Uint8Array;
  readonly attestationKey?: string;
  readonly out?: string;
  readonly expect?: string;
}

function addMake(attest: Command, context: CommandContext, done: () => void): void {
  minBytesOption(modelOptions(deviceOptions(attest.command('make'))))
    .description('seal a file into device memory, verify it there, sign the result, and release it')
    .argument('<file>', 'a model file of one shard')
    .addOption(nonceOption('chosen by the verifier: 16 to 64 bytes').makeOptionMandatory())
    .option(
      '--attestation-key <file>',
      "the private key, created if missing; default in the user's state directory",
    )
    .option('--out <file>', 'write the attestation there, which must not exist; default: stdout')
    .option('--expect <digest>', 'as in check')
    .action(async (file: string, options: MakeOptions) => {
      const { io } = context;
      const { items, indexes } = await checkItems([file], options);
      const [item, ...others] = items;
      if (item === undefined || others.length > 0) {
        throw invalidInput(
          'file',
          'is a model of several shards: name one of their files, or seal its tensors (--layout tensors)',
        );
      }
      if (!isTarget(item)) throw item.error;
      await checkIndexes(indexes, context, (_, error) => {
        throw error;
      });
      const attestationKey = await openAttestationKey({
        workerId: options.workerId,
        keyFile: options.attestationKey,
        auditDirectory: options.audit,
        trustOwner: options.trustOwner,
      });
      const envelope = await withManager(context, options, { attestationKey }, async ({ manager, trace }) => {
        const source = await item.open();
        let sealed: SealedShard | undefined;
        try {
          sealed = await manager.seal(source, {
            ...trace,
            signal: io.signal,
            ...item.expected,
          });
          return await manager.attest(sealed, { ...trace, nonce: options.nonce, signal: io.signal });
        } finally {
          await source.close();
          if (sealed !== undefined) await manager.release(sealed, trace);
        }
      });
      const text = jsonDocument(envelope);
      if (options.out === undefined) io.stdout(text);
      else {
        await writeNew(options.out, text);
        const people = options.json ? io.stderr : io.stdout;
        people(`attestation written to ${escapeForTerminal(options.out)}\n`);
        if (options.json) io.stdout(text);
      }
      done();
    });
}

interface VerifyOptions {
  readonly publicKey: string;
  /** False for `--no-nonce`. */
  readonly nonce?: Uint8Array | false;
  readonly maxAge?: number;
  readonly expect?: string;
  readonly json?: boolean;
}

function addVerify(attest: Command, { io, reporter }: CommandContext, done: () => void): void {
  jsonOption(attest.command('verify'))
    .description('check a residency statement: signature, nonce, age, digest')
    .argument('<file>', 'the attestation')
    .requiredOption('--public-key <file>', 'the public key in PEM, from a trusted place')
    .addOption(nonceOption('the nonce of the request'))
    .option('--no-nonce', 'accept a replayed statement')
    .addOption(
      new Option('--max-age <seconds>', 'how long ago the verification may have begun').argParser(
        parseCount(0, MAX_AGE_SECONDS),
      ),
    )
    .option(
      '--expect <digest>',
      'sha256:HEX, fsverity-sha256-12:HEX, sha256-BASE64, or a Git LFS pointer file',
    )
    .action(async (file: string, options: VerifyOptions) => {
      const nonce = options.nonce ?? true;
      if (nonce === true) throw invalidInput('nonce', 'must be given (or --no-nonce, which accepts replays)');
      const publicKey = await readPublicKeyPem('public-key', options.publicKey);
      const expected =
        options.expect === undefined ? null : (await expectedDigests(options.expect)).for(file);
      const text = await readText('file', file, MAX_ENVELOPE_CHARACTERS, io.signal);
      try {
        const report = await verifyAttestation(nodeCrypto, text, {
          publicKey,
          nonce: nonce === false ? null : nonce,
          maxAgeMs: options.maxAge === undefined ? undefined : options.maxAge * 1000,
          expected: expected?.digest,
        });
        if (options.json) io.stdout(jsonDocument({ v: 1, ok: true, ...report }));
        else io.stdout(reportText(report));
        done();
      } catch (error) {
        if (options.json) io.stdout(jsonDocument({ v: 1, ok: false, error: reporter.json(error) }));
        throw error;
      }
    });
}

interface KeyOptions {
  readonly attestationKey?: string;
  readonly workerId: string;
  readonly trustOwner?: number;
  readonly json?: boolean;
}

function addKey(attest: Command, { io }: CommandContext, done: () => void): void {
  jsonOption(attest.command('key'))
    .description('print the public key of the attestations, for verifiers; created if missing')
    .option('--attestation-key <file>', "the private key; default in the user's state directory")
    .option('--worker-id <id>', 'whose key', 'cli')
    .addOption(trustOwnerOption())
    .action(async ({ attestationKey, workerId, trustOwner, json }: KeyOptions) => {
      const { publicKey } = await openAttestationKey({
        workerId,
        keyFile: attestationKey,
        trustOwner,
      });
      const pem = publicKeyPem(publicKey);
      io.stdout(json ? jsonDocument({ v: 1, publicKey: pem }) : pem);
      done();
    });
}

function reportText({ statement: { predicate }, ageMs, fresh }: AttestationReport): string {
  const { device } = predicate;
  const set = predicate.totalShards === null ? '' : `, ${predicate.shardIndex} of ${predicate.totalShards}`;
  const rows: readonly (readonly [string, string])[] = [
    ['genuine', 'signed by the given key'],
    ['nonce', fresh ? 'as asked' : 'NOT CHECKED: this may be a replayed statement'],
    [
      'verified',
      `${predicate.verifiedAt} in place, ${formatMs(Math.abs(ageMs))} ${ageMs < 0 ? 'ahead' : 'ago'}`,
    ],
    [
      'shard',
      `${predicate.shardId}, ${predicate.byteLength} bytes, model ${predicate.modelRef ?? 'not named'}${set}`,
    ],
    ['sha256', predicate.sha256 ?? 'not computed'],
    ['fsverity', predicate.fsverity],
    ['class', `${residencyInWords(predicate.residency)}; policy ${predicate.policy}`],
    ['kept', `${predicate.immutability}${predicate.emulated ? '; EMULATED, NOTHING IS IN A GPU' : ''}`],
    [
      'device',
      `${device.backend}:${device.index} ${device.name}, ${device.uuid ?? 'no UUID'}, ECC ${device.ecc}`,
    ],
    ['driver', device.driver ?? 'not reported'],
    ['worker', predicate.workerId],
    [
      'audit log',
      predicate.auditLog === null
        ? 'none'
        : `${predicate.auditLog.size} records of ${predicate.auditLog.origin}`,
    ],
    ['signed by', predicate.signedBy],
  ];
  return rows.map(([name, value]) => `${name.padEnd(10)} ${escapeForTerminal(value)}\n`).join('');
}

function nonceOption(description: string): Option {
  return new Option('--nonce <hex>', description).argParser((text): Uint8Array => {
    const bytes = /^(?:[0-9a-f]{2}){16,64}$/i.test(text) ? fromHex(text, HEX) : null;
    if (bytes === null)
      throw new InvalidArgumentError('It must be 32 to 128 hexadecimal digits, two a byte.');
    return bytes;
  });
}

/** Overwrites no file, and removes one that could not be written completely. Errors: INVALID_INPUT. */
async function writeNew(path: string, text: string): Promise<void> {
  let made = false;
  try {
    const handle = await open(path, 'wx', 0o644);
    made = true;
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    // Reports the first failure.
    if (made) await Promise.allSettled([unlink(path)]);
    const why = hasCode(error, 'EEXIST') ? ': it exists already' : codeOf(error);
    throw invalidInput('out', `cannot be written${why}; name another file`, error);
  }
}
