/** Assertions of the contract suite: no test framework, so that the same cases run in Node and in a page. */

export class ContractFailure extends Error {
  override readonly name = 'ContractFailure';
}

export function fail(what: string): never {
  throw new ContractFailure(what);
}

export function ok(condition: boolean, what: string): void {
  if (!condition) fail(what);
}

export function equal<T extends string | number | boolean | null>(got: T, expected: T, what: string): void {
  if (!Object.is(got, expected)) fail(`${what}: got ${String(got)}, expected ${String(expected)}`);
}

/** Compares length and every byte; the message names the first that differs. */
export function sameBytes(got: Uint8Array, expected: Uint8Array, what: string): void {
  equal(got.length, expected.length, `${what}, length`);
  for (let i = 0; i < expected.length; i++) {
    if (got[i] !== expected[i]) fail(`${what}: byte ${i} is ${got[i]}, expected ${expected[i]}`);
  }
}

export function differ(got: Uint8Array, other: Uint8Array, what: string): void {
  if (got.length === other.length && got.every((byte, i) => byte === other[i]))
    fail(`${what}: they are equal`);
}

/** The work must be refused with one of the codes. Codes are read by name: a page may hold two copies of the error class. */
export async function refused(
  codes: string | readonly string[],
  work: () => Promise<unknown>,
  what: string,
): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  expectCode(codes, error, what);
}

/** The same for calls that answer at once. */
export function refusedNow(codes: string | readonly string[], work: () => unknown, what: string): void {
  let error: unknown;
  try {
    work();
  } catch (caught) {
    error = caught;
  }
  expectCode(codes, error, what);
}

/** The same for an error that was caught already. */
export function expectCode(codes: string | readonly string[], error: unknown, what: string): void {
  const expected = typeof codes === 'string' ? [codes] : codes;
  if (error === undefined) fail(`${what}: was carried out, must be refused with ${expected.join(' or ')}`);
  const code = codeOf(error);
  if (code === null || !expected.includes(code)) {
    fail(
      `${what}: refused with ${code ?? String(error)}, must be ${expected.join(' or ')} (${String(error)})`,
    );
  }
}

/** The code of a VramError, null for any other error. */
export function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== 'VramError' || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
