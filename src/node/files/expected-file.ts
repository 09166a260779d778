import { invalidInput } from '../../base/index.js';
import { type ExpectedDigests, parseExpected } from '../../models/index.js';
import { pageOfServer, START_BYTES } from './not-weights.js';
import { checkPath, OpenFile } from './open-file.js';

/** The limit of parseExpected() for a model list; its limits for other texts are lower. */
const MAX_EXPECTED_BYTES = 256 * 1024 * 1024;

/**
 * Expected digests from a command line or configuration: the digest itself, or the path of a list or pointer (see
 * parseExpected). Errors: INVALID_INPUT.
 */
export async function loadExpected(value: string): Promise<ExpectedDigests> {
  if (typeof value !== 'string') throw invalidInput('expected', 'must be a string');
  if (/^(sha\d+[:-]|fsverity-sha256-12:)/.test(value.trim())) return parseExpected(value);
  const path = checkPath(value);
  const source = await OpenFile.open(path, path, value);
  try {
    if (source.byteLength > MAX_EXPECTED_BYTES) {
      throw invalidInput('expected', `is a file of more than ${MAX_EXPECTED_BYTES} bytes`);
    }
    const bytes = await source.readRange(0, source.byteLength);
    const kind = pageOfServer(bytes.subarray(0, START_BYTES));
    if (kind !== null) throw invalidInput('expected', `is a file that is ${kind}`);
    return parseExpected(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    if (error instanceof TypeError) throw invalidInput('expected', 'is a file that is not UTF-8 text', error);
    throw error;
  } finally {
    await source.close();
  }
}
