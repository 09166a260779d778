import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ptx } from '../../src/generated/ptx.js';
import { program } from '../support/cli.js';
import { sanitizer } from '../support/sanitizer.js';
import { fatbin, ptxEntry } from './fatbin.js';
import { foreignDriver, foundFirst, withForeignManagers } from './foreign-driver.js';
import { describeCuda } from './testbed.js';

const NAME = 'Emulated GPU';

/** Processes are started, on a machine that may be busy. */
vi.setConfig({ testTimeout: 120_000 });

describeCuda('cuda: kernels in place of those that ship', (bed) => {
  if (sanitizer !== null) {
    it.skip('NOT RUN: the child processes do not preload the sanitizers');
    return;
  }
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'vram-kernels-')));
  const kernels = join(folder, 'vram.fatbin');
  const weights = join(folder, 'weights.bin');
  const shipped = foundFirst(folder);
  const replaced = { ...shipped, VRAM_RESIDENCY_CUDA_KERNELS: kernels };
  const trusted = { driverPaths: [folder] };
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeAll(() => {
    foreignDriver(bed, folder);
    writeFileSync(kernels, fatbin([ptxEntry(ptx['vram'] ?? '')]));
    writeFileSync(weights, new Uint8Array(5000).fill(7));
  });

  it('[VP-005] need an option in code under vram-only, and are a fact in handle and statement', () => {
    const seal = `
      const sealed = await manager.seal(vram.bytesSource(new Uint8Array(5000), 'x'), { shardId: 's' });
      const envelope = await manager.attest(sealed, { nonce: new Uint8Array(16).fill(1) });
      const { predicate } = JSON.parse(Buffer.from(envelope.payload, 'base64').toString());
      return {
        residency: manager.status().residency,
        names: [sealed.device.name, predicate.device.name],
        keys: [Object.keys(sealed), Object.keys(predicate), Object.keys(predicate.device)],
      };`;
    const allowed = { ...trusted, allowReplacedKernels: true };
    const [plain] = withForeignManagers(shipped, folder, [trusted], seal);
    expect(plain).toMatchObject({ residency: 'device-local', names: [NAME, NAME] });
    const marked = [`${NAME} [replaced kernels]`, `${NAME} [replaced kernels]`];
    expect(withForeignManagers(replaced, folder, [trusted, allowed], seal)).toEqual([
      {
        code: 'POLICY_VIOLATION',
        message: expect.stringContaining('other kernels than those of this package are loaded'),
      },
      { ...(plain as object), names: marked },
    ]);
  });

  it('are told by the command line, which allows them under other policies alone', async () => {
    const args = ['check', weights, '--device', 'cuda:0', '--json'];
    const { code, stdout } = await program([...args, '--policy', 'gpu'], replaced);
    expect(code).toBe(0);
    const { device } = JSON.parse(stdout);
    expect(device).toMatchObject({ kernelsReplaced: true, name: `${NAME} [replaced kernels]` });
    expect((await program([...args, '--policy', 'vram-only'], replaced)).code).toBe(3);
  });

  it('are all that are not byte for byte those that ship, whoever names them', async () => {
    bed.emulator.reset();
    const text = ptx['vram'] ?? '';
    const replacedBy = async (options: Parameters<typeof bed.backend>[0]) =>
      (await bed.backend(options).list())[0]?.facts.kernelsReplaced;
    expect(await replacedBy({ kernelsPath: null })).toBe(false);
    expect(await replacedBy({ ptx: text })).toBe(false);
    expect(await replacedBy({ ptx: `${text}\n` })).toBe(true);
    expect(await replacedBy({ kernelsPath: kernels })).toBe(true);
  });
});
