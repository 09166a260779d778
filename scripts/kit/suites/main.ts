// node suites.mjs contract|groups|webgpu [--device N] [--addon PATH] [--max-bytes N] [--case-seconds N] [--only CASE]
// [--json] Exit codes: 0 every case passed or was skipped as expected, 1 otherwise, 2 wrong arguments.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { argv, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { addonPaths } from '../../../src/node/addon/index.js';
import { isGreen } from './result.js';
import type { SuiteDocument, SuiteName, SuiteOptions } from './run.js';
import { runContract, runGroups, runWebGpu, SUITES } from './run.js';
import { inWords } from './run-cases.js';

const USAGE =
  'usage: node suites.mjs contract|groups|webgpu [--device N] [--addon PATH] [--max-bytes N] ' +
  '[--case-seconds N] [--only CASE] [--json]';
const MAX_BYTES = 256 * 1024 * 1024;
const CASE_SECONDS = 60;
const RUN = { contract: runContract, groups: runGroups, webgpu: runWebGpu } as const;

interface Request extends SuiteOptions {
  readonly suite: SuiteName;
  readonly json: boolean;
}

/** Errors: Error, whose message names the argument. */
function readArguments(args: readonly string[]): Request {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      device: { type: 'string' },
      addon: { type: 'string' },
      'max-bytes': { type: 'string' },
      'case-seconds': { type: 'string' },
      only: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const suite = SUITES.find((name) => name === positionals[0]);
  if (suite === undefined || positionals.length !== 1)
    throw new Error(`one of ${SUITES.join(', ')} is needed`);
  return {
    suite,
    json: values.json === true,
    addonPath: addonPath(values.addon),
    index: integer('--device', values.device, 0, 0, 255),
    maxBytes: integer('--max-bytes', values['max-bytes'], MAX_BYTES, 2 ** 22, 2 ** 32),
    limitMs: integer('--case-seconds', values['case-seconds'], CASE_SECONDS, 1, 3600) * 1000,
    only: values.only ?? null,
  };
}

/** Default: the addon in the package. */
function addonPath(given: string | undefined): string {
  const path = given ?? addonPaths().find((one) => existsSync(one));
  if (path === undefined)
    throw new Error('--addon is needed: the package has no CUDA addon for this platform');
  if (!existsSync(path)) throw new Error('--addon names a file that is not there');
  // Worker threads and other processes load it too.
  return resolve(path);
}

function integer(name: string, text: string | undefined, standard: number, min: number, max: number): number {
  if (text === undefined) return standard;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new Error(`${name} must be an integer from ${min} to ${max}`);
}

function forPeople({ suite, device, total, passed, failed, skipped, unexpected }: SuiteDocument): string {
  return [
    ...skipped.map(({ name, reason }) => `skipped: ${name}: ${reason}`),
    ...failed.map(({ name, error }) => `FAILED: ${name}: ${error}`),
    ...unexpected.map((what) => `UNEXPECTED: ${what}`),
    `${suite} on ${device === null ? 'no device' : `${device.name} (${device.execution})`}: ${total} cases, ` +
      `${passed} passed, ${failed.length} failed, ${skipped.length} skipped, ${unexpected.length} unexpected`,
  ].join('\n');
}

let request: Request;
try {
  request = readArguments(argv.slice(2));
} catch (error) {
  stderr.write(`${inWords(error)}\n${USAGE}\n`);
  process.exit(2);
}
const result = await RUN[request.suite](request);
const text = request.json ? JSON.stringify(result) : forPeople(result);
// Does not wait for a case that hung and may still hold the event loop.
stdout.write(`${text}\n`, () => process.exit(isGreen(result) ? 0 : 1));
