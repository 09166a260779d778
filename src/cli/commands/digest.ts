import { invalidInput } from '../../base/index.js';
import { fileSource } from '../../node/index.js';
import type { AddCommand } from '../context.js';
import { digestLine, digestLineForTerminal } from '../digest-line.js';
import { digestSource } from '../digest-source.js';
import { EXIT, exitCodeOf } from '../exit-codes.js';
import type { CliIo } from '../io.js';
import { type ModelOptions, modelOptions } from '../model-options.js';
import { jsonOption } from '../options.js';
import { jsonDocument } from '../output.js';
import { Progress } from '../progress.js';
import { digestTensors } from './digest-tensors.js';

interface DigestOptions extends ModelOptions {
  readonly json?: boolean;
  readonly tensors?: boolean;
  readonly sha256?: boolean;
}

interface Row {
  readonly v: 1;
  readonly file: string;
  readonly bytes?: number;
  readonly sha256?: string | null;
  readonly fsverity?: string;
  readonly error?: { readonly code: string; readonly message: string };
}

/** `digest FILE...`: what the kernel's fs-verity and `sha256sum` would say of these files. */
export const addDigest: AddCommand = (program, context, done) => {
  const { io, engine, reporter } = context;
  modelOptions(jsonOption(program.command('digest')))
    .description('print the fs-verity digest of files, or their SHA-256')
    .argument('<file...>', 'files to hash')
    .option('--sha256', 'SHA-256 in place of the fs-verity digest, as sha256sum prints it')
    .option('--tensors', 'of model files: the digest of each tensor; with --json a list of the model')
    .action(async (files: string[], options: DigestOptions) => {
      const { json = false, tensors = false, sha256: flat = false, ...model } = options;
      if (tensors && flat) throw invalidInput('sha256', 'is of whole files: it does not go with --tensors');
      if (tensors) return await digestTensors(files, { json, ...model }, context, done);
      if (model.layout === 'tensors') throw invalidInput('layout', 'is tensors, which needs --tensors');
      if (model.format !== undefined)
        throw invalidInput('format', 'needs --tensors: else files are hashed as they are');
      const hashing = engine();
      const rows: Row[] = [];
      let altered = false;
      try {
        for (const file of files) {
          if (io.signal.aborted) break;
          try {
            const source = await fileSource(file);
            const progress = new Progress(io, file);
            try {
              // The flat hash is serial and bounds the speed: it is computed where it is shown.
              const { sha256, fsverity } = await digestSource(source, hashing, {
                sha256: json || flat,
                signal: io.signal,
                onBytes: (bytes) => progress.update('hash', bytes, source.byteLength),
              });
              progress.done();
              rows.push({ v: 1, file, bytes: source.byteLength, sha256, fsverity });
              if (!json) altered = printLine(io, flat ? (sha256 ?? '') : fsverity, file) || altered;
              done(EXIT.ok);
            } finally {
              progress.done();
              await source.close();
            }
          } catch (error) {
            rows.push({ v: 1, file, error: reporter.json(error) });
            reporter.report(error, file);
            done(exitCodeOf(error));
          }
        }
      } finally {
        await hashing.close();
      }
      if (altered)
        io.stderr(
          'note: \\u{...} stands for a character that is not seen; output to a file has the names as they are\n',
        );
      if (json) io.stdout(jsonDocument(rows));
    });
};

/** Was the name shown otherwise than it is? */
function printLine(io: CliIo, digest: string, file: string): boolean {
  if (!io.stdoutIsTerminal) {
    io.stdout(digestLine(digest, file));
    return false;
  }
  const { line, altered } = digestLineForTerminal(digest, file);
  io.stdout(line);
  return altered;
}
