import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../../scripts/audit-dependencies.mjs', import.meta.url));
const ADVISORY = {
  id: 1,
  url: 'https://github.com/advisories/GHSA-0000-0000-0000',
  title: 'Reads what it should not',
  severity: 'high',
  vulnerable_versions: '<2.0.0',
  cwe: ['CWE-125'],
  cvss: { score: 7.5, vectorString: null },
};
/** What npm asks of a vulnerable package: which of its versions are not. */
const PACKAGE = {
  name: 'leaky',
  'dist-tags': { latest: '2.0.0' },
  versions: { '1.0.0': { name: 'leaky', version: '1.0.0' }, '2.0.0': { name: 'leaky', version: '2.0.0' } },
};

describe('the check of dependencies for known vulnerabilities', () => {
  const folder = mkdtempSync(join(tmpdir(), 'vram-audit-'));
  let answer: { readonly status: number; readonly body: unknown } = { status: 405, body: {} };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    request.resume();
    request.on('end', () => {
      const { status, body } = request.url === '/leaky' ? { status: 200, body: PACKAGE } : answer;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    });
  });

  beforeAll(async () => {
    const manifest = { name: 'app', version: '1.0.0', dependencies: { leaky: '1.0.0' } };
    const leaky = { version: '1.0.0', resolved: 'http://127.0.0.1/leaky.tgz', integrity: 'sha512-AA==' };
    const lock = { ...manifest, lockfileVersion: 3, packages: { '': manifest, 'node_modules/leaky': leaky } };
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(lock));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  /** The registry is a server of this test's own. */
  async function check(): Promise<{ readonly code: number | null; readonly output: string }> {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the server does not listen');
    const registry = `http://127.0.0.1:${address.port}/`;
    const child = spawn(process.execPath, [script], {
      cwd: folder,
      env: { ...process.env, npm_config_registry: registry, npm_config_cache: join(folder, 'cache') },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, output };
  }

  it('says that nothing is known where the registry refuses to answer, without its address', async () => {
    answer = { status: 405, body: { error: 'Method Not Allowed' } };
    const { code, output } = await check();
    expect(output).toMatch(/^npm audit: the registry did not answer \(405 .*\); nothing is known/);
    expect(output).not.toContain('127.0.0.1');
    expect(code).toBe(3);
    expect(asked).toContain('POST /-/npm/v1/security/advisories/bulk');
  });

  it('passes where the registry knows of none', async () => {
    answer = { status: 200, body: {} };
    const { code, output } = await check();
    expect(output).toMatch(/^npm audit: 0 vulnerable of 1 packages/);
    expect(code).toBe(0);
  });

  it('fails where it knows of one, and names it', async () => {
    answer = { status: 200, body: { leaky: [ADVISORY] } };
    const { code, output } = await check();
    expect(output).toContain('npm audit: high: leaky 1.0.0: Reads what it should not (https://github.com/');
    expect(output).toMatch(/^npm audit: 1 vulnerable of 1 packages/m);
    expect(code).toBe(1);
  });
});
