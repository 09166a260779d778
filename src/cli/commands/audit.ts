import { Command, Option } from 'commander';
import {
  AUDIT_TYPES,
  type AuditRecord,
  type AuditReport,
  type AuditSeverity,
  type AuditType,
  formatVerifierKey,
  parseCheckpoint,
  parseOrigin,
  parseProof,
  verifierKey,
} from '../../audit/index.js';
import { invalidInput, throwIfAborted } from '../../base/index.js';
import {
  auditVerifierKey,
  DEFAULT_RETENTION_DAYS,
  exportTiles,
  nodeCrypto,
  nodeFileSystem,
  proveAudit,
  pruneAudit,
  readCheckpointFile,
  readPublicKey,
  showAudit,
  verifyAudit,
  verifyProof,
} from '../../node/index.js';
import type { AddCommand } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { CliIo } from '../io.js';
import { jsonOption, parseCount, readToken, trustOwnerOption } from '../options.js';
import { jsonDocument, jsonLine } from '../output.js';
import { readText } from '../read-text.js';
import { escapeForTerminal } from '../text.js';

type Done = (code: ExitCode) => void;

/** The library's limits on these ASCII texts. */
const MAX_NOTE_BYTES = 65_536;
const MAX_PROOF_BYTES = 262_144;
const SEVERITIES: readonly AuditSeverity[] = ['CRITICAL', 'HIGH', 'MEDIUM'];
/** Records between two turns of the event loop, so that output is written while more is read. */
const RECORDS_A_TURN = 1_000;

/** Adds `audit` and its subcommands. */
export const addAudit: AddCommand = (program, { io }, done) => {
  program.addCommand(auditCommand(io, done));
};

/** `audit verify|show|prove|verify-proof|prune|key|export`: the log's own tools. */
export function auditCommand(io: CliIo, done: Done): Command {
  const audit = new Command('audit').description('verify, show, prove, prune and export an audit log');
  addVerify(audit, io, done);
  addShow(audit, io, done);
  addProve(audit, io, done);
  addVerifyProof(audit, io, done);
  addPrune(audit, io, done);
  addKey(audit, io, done);
  addExport(audit, io, done);
  return audit;
}

interface KeyOptions {
  readonly verifierKey?: string;
  readonly keyFile?: string;
  readonly trustOwner?: number;
}

function keyOptions(command: Command): Command {
  return command
    .option('--verifier-key <line>', 'the line that "audit key" prints, or a file that holds it')
    .option('--key-file <file>', 'the key file of the writer; its public half is used')
    .addOption(trustOwnerOption());
}

function addVerify(audit: Command, io: CliIo, done: Done): void {
  interface Options extends KeyOptions {
    readonly tokenFile?: string;
    readonly checkpoint?: string;
    readonly logId?: string;
    readonly workers?: number;
    readonly json?: boolean;
  }
  jsonOption(keyOptions(audit.command('verify')))
    .description('verify a log: tree and signatures, and with the token every record')
    .argument('<dir>', 'the directory of the log')
    .option('--token-file <file>', 'the worker token: verifies the MAC of every record')
    .option('--checkpoint <file>', 'a checkpoint from elsewhere: detects truncation and rollback')
    .option('--log-id <hex>', 'the expected log: detects another log of the same worker in its place')
    .addOption(new Option('--workers <n>', 'threads').argParser(parseCount(1, 256)))
    .action(async (dir: string, options: Options) => {
      const { trustOwner } = options;
      const token =
        options.tokenFile === undefined
          ? undefined
          : await readToken(options.tokenFile, { trustOwner, signal: io.signal });
      try {
        const report = await verifyAudit(dir, {
          ...(await keyChoice(options)),
          trustOwner,
          token,
          ...(options.checkpoint === undefined
            ? {}
            : { checkpoint: await readText('checkpoint', options.checkpoint, MAX_NOTE_BYTES, io.signal) }),
          logId: options.logId,
          workers: options.workers,
          onProgress: () => throwIfAborted(io.signal),
        });
        io.stdout(options.json ? jsonDocument(report) : verifyText(report));
        done(report.ok ? EXIT.ok : EXIT.audit);
      } finally {
        token?.fill(0);
      }
    });
}

const CHAIN_TEXT = {
  verified: 'every MAC verified with the token',
  'links-only': 'links only; MACs need the token',
  'not-verified': 'not verified: it was not followed beyond the fault',
} as const satisfies Record<AuditReport['chain'], string>;

function verifyText(report: AuditReport): string {
  const { bad, checkpoint, external } = report;
  const lines = [
    bad === null ? `OK: ${report.records} records` : `BAD: ${escapeForTerminal(bad.message)} [${bad.reason}]`,
    ...(bad?.segment == null ? [] : [`  in ${bad.segment}.ndjson, byte ${bad.offset ?? 0}`]),
    `log:        ${escapeForTerminal(report.origin ?? 'unknown')}`,
    `records:    ${report.records} ${bad === null ? '' : 'read '}in ${report.segments} segments, ` +
      `${report.prunedRecords} of them pruned`,
    `chain:      ${CHAIN_TEXT[report.chain]}`,
    `signature:  ${report.signature}`,
    checkpoint === null
      ? 'checkpoint: does not hold or was not reached'
      : `checkpoint: ${checkpoint.size} records, ${report.recordsPastCheckpoint} after it`,
    ...(external === null
      ? []
      : [`elsewhere:  the checkpoint of ${external.size} records is a part of this log`]),
    ...report.notes.map((note) => `note: ${note}`),
  ];
  return `${lines.join('\n')}\n`;
}

function addShow(audit: Command, io: CliIo, done: Done): void {
  interface Options {
    readonly type?: AuditType[];
    readonly severity?: AuditSeverity[];
    readonly shard?: string;
    readonly correlationId?: string;
    readonly since?: string;
    readonly until?: string;
    readonly format: 'table' | 'ndjson';
    readonly limit?: number;
    readonly json?: boolean;
  }
  jsonOption(audit.command('show'))
    .description('print records unverified; "audit verify" verifies them')
    .argument('<dir>', 'the directory of the log')
    .addOption(new Option('--type <type...>', 'only these types').choices([...AUDIT_TYPES]))
    .addOption(new Option('--severity <severity...>', 'only these severities').choices([...SEVERITIES]))
    .option('--shard <id>', 'only records of this shard')
    .option('--correlation-id <id>', 'only records of this request')
    .option('--since <time>', 'from this date or RFC 3339 time on')
    .option('--until <time>', 'before this date or time')
    .addOption(new Option('--limit <n>', 'at most this many').argParser(parseCount(1, 1_000_000_000)))
    .addOption(new Option('--format <form>', 'table or ndjson').choices(['table', 'ndjson']).default('table'))
    .action(async (dir: string, options: Options) => {
      let shown = 0;
      let bad = 0;
      const records = showAudit(dir, {
        types: options.type,
        severities: options.severity,
        shardId: options.shard,
        correlationId: options.correlationId,
        since: options.since,
        until: options.until,
        onBadLine: () => {
          bad += 1;
        },
      });
      if (options.json) io.stdout('{"v":1,"records":[');
      for await (const record of records) {
        throwIfAborted(io.signal);
        if (options.json) io.stdout(`${shown === 0 ? '' : ','}\n${jsonLine(record)}`);
        else io.stdout(options.format === 'ndjson' ? `${jsonLine(record)}\n` : row(record));
        shown += 1;
        if (shown === options.limit) break;
        if (shown % RECORDS_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (options.json) io.stdout('\n]}\n');
      if (bad > 0) io.stderr(`${bad} lines are not records: run "audit verify"\n`);
      done(bad > 0 ? EXIT.audit : EXIT.ok);
    });
}

function row(record: AuditRecord): string {
  const { seq, ts, severity, type, correlationId, data } = record;
  const details = Object.entries(data)
    .filter(([, value]) => value !== null && typeof value !== 'object')
    .map(([field, value]) => `${field}=${String(value)}`)
    .join(' ');
  const line =
    `${String(seq).padStart(8)}  ${ts}  ${severity.padEnd(8)}  ${type.padEnd(24)}  ${correlationId ?? '-'} ` +
    ` ${details}`;
  return `${escapeForTerminal(line)}\n`;
}

function addProve(audit: Command, io: CliIo, done: Done): void {
  interface Options {
    readonly seq?: number;
    readonly since?: string;
  }
  jsonOption(audit.command('prove'))
    .description('print a proof that "audit verify-proof" checks with the public key alone')
    .argument('<dir>', 'the directory of the log')
    .addOption(
      new Option('--seq <n>', 'prove that this record is in the log').argParser(
        parseCount(0, Number.MAX_SAFE_INTEGER),
      ),
    )
    .option('--since <file>', 'prove that the log of this older checkpoint is a part of this one')
    .action(async (dir: string, { seq, since }: Options) => {
      if ((seq === undefined) === (since === undefined)) {
        throw invalidInput('seq', 'and --since: exactly one of them must be given');
      }
      const proof = await proveAudit(
        dir,
        seq === undefined
          ? { since: await readText('since', since ?? '', MAX_NOTE_BYTES, io.signal) }
          : { seq },
      );
      io.stdout(jsonDocument(proof));
      done(EXIT.ok);
    });
}

function addVerifyProof(audit: Command, io: CliIo, done: Done): void {
  interface Options extends KeyOptions {
    readonly json?: boolean;
  }
  jsonOption(keyOptions(audit.command('verify-proof')))
    .description('check a proof; reads only the proof and the public key')
    .argument('<file>', 'the output of "audit prove"')
    .action(async (file: string, options: Options) => {
      const text = await readText('file', file, MAX_PROOF_BYTES, io.signal);
      const { origin } = parseProof(text);
      const report = await verifyProof(text, await verifierLine(options, origin));
      if (options.json) io.stdout(jsonDocument(report));
      else if (!report.ok) io.stdout(`BAD: ${report.reason ?? ''}\n`);
      else if (report.kind === 'inclusion') {
        io.stdout(
          `OK: record ${report.index ?? 0} of ${report.treeSize} in ${escapeForTerminal(report.origin)}\n`,
        );
        io.stdout(`${escapeForTerminal(report.leaf ?? '')}\n`);
      } else {
        io.stdout(
          `OK: the first ${report.oldSize ?? 0} of ${report.treeSize} records in ${escapeForTerminal(report.origin)} ` +
            `are unchanged\n`,
        );
      }
      done(report.ok ? EXIT.ok : EXIT.audit);
    });
}

function addPrune(audit: Command, io: CliIo, done: Done): void {
  interface Options {
    readonly tokenFile: string;
    readonly before?: string;
    readonly retentionDays: number;
    readonly keyFile?: string;
    readonly trustOwner?: number;
    readonly dryRun?: boolean;
    readonly json?: boolean;
  }
  jsonOption(audit.command('prune'))
    .description('remove whole old segments; their leaf hashes stay, so that the rest still verifies')
    .argument('<dir>', 'the directory of the log; no writer may have it open')
    .requiredOption('--token-file <file>', 'the worker token')
    .option('--before <date>', 'segments whose records are all older; default: the end of the retention')
    .addOption(
      new Option('--retention-days <n>', 'never remove records younger than this')
        .default(DEFAULT_RETENTION_DAYS)
        .argParser(parseCount(0, 36_525)),
    )
    .option('--key-file <file>', 'the key file of the writer')
    .addOption(trustOwnerOption())
    .option('--dry-run', 'only report what would be removed')
    .action(async (dir: string, options: Options) => {
      const token = await readToken(options.tokenFile, {
        trustOwner: options.trustOwner,
        signal: io.signal,
      });
      try {
        const report = await pruneAudit(dir, {
          token,
          workerId: await workerOf(dir),
          retentionDays: options.retentionDays,
          before: options.before,
          keyFile: options.keyFile,
          trustOwner: options.trustOwner,
          dryRun: options.dryRun,
        });
        if (options.json) io.stdout(jsonDocument(report));
        else {
          const verb = report.dryRun ? 'would remove' : 'removed';
          io.stdout(
            `${verb} ${report.removedRecords} records in ${report.removedSegments.length} segments before ` +
              `${report.before}\n`,
          );
        }
        done(EXIT.ok);
      } finally {
        token.fill(0);
      }
    });
}

function addKey(audit: Command, io: CliIo, done: Done): void {
  interface Options {
    readonly keyFile?: string;
    readonly trustOwner?: number;
    readonly json?: boolean;
  }
  jsonOption(audit.command('key'))
    .description('print the verifier key line of a log, for verifiers of its checkpoints')
    .argument('<dir>', 'the directory of the log')
    .option('--key-file <file>', 'the key file of the writer')
    .addOption(trustOwnerOption())
    .action(async (dir: string, { keyFile, trustOwner, json }: Options) => {
      const line = await auditVerifierKey(dir, { keyFile, trustOwner });
      io.stdout(json ? jsonDocument({ v: 1, verifierKey: line }) : `${line}\n`);
      done(EXIT.ok);
    });
}

function addExport(audit: Command, io: CliIo, done: Done): void {
  interface Options {
    readonly trustOwner?: number;
    readonly json?: boolean;
  }
  jsonOption(audit.command('export'))
    .description('write the log as C2SP tlog-tiles, for transparency tools')
    .argument('<dir>', 'the directory of the log')
    .argument('<target>', 'the directory to write to')
    .addOption(trustOwnerOption())
    .action(async (dir: string, target: string, { trustOwner, json }: Options) => {
      const report = await exportTiles(dir, target, { trustOwner });
      io.stdout(
        json
          ? jsonDocument(report)
          : `${report.size} records of ${escapeForTerminal(report.origin)} in ${report.files} files\n`,
      );
      done(EXIT.ok);
    });
}

async function keyChoice(
  options: KeyOptions,
): Promise<{ verifierKey?: string; keyFile?: string | undefined }> {
  if (options.verifierKey !== undefined && options.keyFile !== undefined) {
    throw invalidInput('verifier-key', 'and --key-file exclude each other');
  }
  if (options.verifierKey !== undefined) return { verifierKey: await lineOrFile(options.verifierKey) };
  return { keyFile: options.keyFile };
}

async function verifierLine(options: KeyOptions, origin: string): Promise<string> {
  const choice = await keyChoice(options);
  if (choice.verifierKey !== undefined) return choice.verifierKey;
  const publicKey =
    choice.keyFile === undefined ? null : await readPublicKey(choice.keyFile, options.trustOwner);
  if (publicKey === null) {
    throw invalidInput(
      'verifier-key',
      'or --key-file must be given: the line that "audit key" printed, or the file',
    );
  }
  parseOrigin(origin);
  return formatVerifierKey(await verifierKey(nodeCrypto, origin, publicKey));
}

async function lineOrFile(value: string): Promise<string> {
  if (/\+[0-9a-f]{8}\+/.test(value)) return value;
  try {
    return await readText('verifier-key', value, MAX_NOTE_BYTES);
  } catch (error) {
    throw invalidInput(
      'verifier-key',
      'is neither a line that "audit key" prints nor a file that can be read',
      error,
    );
  }
}

async function workerOf(dir: string): Promise<string> {
  const note = await readCheckpointFile(nodeFileSystem, dir);
  if (note === null) throw invalidInput('dir', 'has no checkpoint, so it is not an audit log');
  return parseOrigin(parseCheckpoint(note, 'dir').checkpoint.origin).workerId;
}
