import { chmod, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ended, program, startProgram } from '../support/cli.js';
import { cliWeights } from '../support/cli-weights.js';

const { folder, weights, sha256 } = cliWeights();

describe('the built program', () => {
  const HOST = { VRAM_RESIDENCY_FORCE_HOST: '1' };

  it('runs', async () => {
    const { code, stdout } = await program(['check', weights], HOST);
    expect(code).toBe(0);
    expect(stdout).toContain(sha256);
  });

  it('[VP-005] refuses a forced mock mode under vram-only with exit 3', async () => {
    expect((await program(['check', weights, '--policy', 'vram-only'], HOST)).code).toBe(3);
  });

  it('130: a reader that goes away before the work is done is not told that all is well', async () => {
    const child = startProgram(['check', ...Array<string>(200).fill(weights), '--device', 'host']);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect(code).toBe(130);
  });

  it('ends with 130 on an interrupt, and tidies up', async () => {
    const big = join(folder, 'big.bin');
    await writeFile(big, '');
    await truncate(big, 4 * 1024 ** 3);
    const child = startProgram(['check', big], HOST);
    child.stdout?.once('data', () => child.kill('SIGINT'));
    const { code, stderr } = await ended(child);
    expect({ code, stderr }).toMatchObject({ code: 130, stderr: expect.stringContaining('ABORTED') });
  });

  it('is quiet when its reader goes away', async () => {
    const child = startProgram(['digest', ...Array.from({ length: 50 }, () => weights)]);
    child.stdout?.destroy();
    expect(await ended(child)).toMatchObject({ code: 130, stderr: '' });
  });

  it('answers an unreadable file with exit 2', async () => {
    const secret = join(folder, 'secret.bin');
    await writeFile(secret, 'x'.repeat(100));
    await chmod(secret, 0);
    await chmod(folder, 0o755);
    // Root reads everything, so root asks as nobody.
    const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {};
    const { code, stderr } = await ended(startProgram(['check', secret], HOST, nobody));
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: [^\n]+\[INVALID_INPUT\]\n$/),
    });
  });
});
