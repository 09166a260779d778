import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { cudaTestbed } from '../support/cuda.js';
import { ELF, entriesOf, PTX } from './fatbin.js';
import { managerWork } from './sweep.js';

const script = fileURLToPath(new URL('../../scripts/build-cuda.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'vram-build-machine-code-'));
const output = join(folder, 'made', 'vram.fatbin');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let programs = 0;
function program(body: string): string {
  const path = join(folder, `program-${programs++}`);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A ptxas that knows some architectures, a newer and an older one among them, and writes nothing of use. */
const PTXAS = program(`
if [ "$1" = --help ]; then
  cat <<'HELP'
--dlcm <mode>
        Not for 'sm_70' or 'sm_99'.

--gpu-name <gpu name>                               (-arch)
        Allowed values for this option:  'compute_75','lto_80','sm_100','sm_100a',
        'sm_70','sm_75','sm_80','sm_86','sm_90','sm_90a'.
        Default value:  'sm_75'.

--help
        Not for 'sm_98'.
HELP
  exit 0
fi
for last in "$@"; do :; done
echo code > "$last"`);
/** Writes what it was asked to join. */
const FATBINARY = program(`
for argument in "$@"; do case "$argument" in --create=*) out="\${argument#--create=}";; esac; done
for argument in "$@"; do echo "$argument" | sed 's/,file=.*//' >> "$out"; done`);
const ALL = ['sm_75', 'sm_80', 'sm_86', 'sm_90', 'sm_100'];

function build(args: readonly string[], env: Record<string, string> = {}) {
  rmSync(output, { force: true });
  const done = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, PTXAS, FATBINARY, NVIDIA_SMI: join(folder, 'no such program'), ...env },
  });
  const made = existsSync(output) ? readFileSync(output, 'latin1') : null;
  return { ...done, made, kinds: made?.match(/(?<=image3=)kind=.*/g) ?? [] };
}

const machineCode = (list: readonly string[], env: Record<string, string> = {}) =>
  build(['--machine-code', ...list, '--output', output], env);

/** The names in the line that says for what code is made, and the reason given there. */
function said(stdout: string): { readonly architectures: readonly string[]; readonly why: string } {
  const [, names = '', why = ''] = /^machine code for ([^:]*): (.*)$/m.exec(stdout) ?? [];
  return { architectures: names.split(', '), why };
}

describe('build:cuda --machine-code: for which architectures', () => {
  it.each([
    ['one GPU', 'echo 9.0', ['sm_90']],
    ['two different GPUs, the newer first', 'echo 9.0; echo 7.5', ['sm_75', 'sm_90']],
    ['two equal GPUs', 'echo 8.6; echo 8.6', ['sm_86']],
    ['a GPU of two digits', 'echo 10.0', ['sm_100']],
  ])('%s', (_, answer, architectures) => {
    const done = machineCode([], { NVIDIA_SMI: program(answer) });
    expect(done.stderr).toBe('');
    expect(said(done.stdout)).toEqual({ architectures, why: 'the GPUs present' });
    expect(done.kinds).toEqual([
      ...architectures.map((name) => `kind=elf,sm=${name.slice(3)}`),
      'kind=ptx,sm=75',
    ]);
    expect(done.made).toContain('--compress=false');
    expect(done.status).toBe(0);
  });

  it('the program is asked for compute capabilities alone', () => {
    const asked = join(folder, 'asked');
    machineCode([], { NVIDIA_SMI: program(`echo "$@" > '${asked}'; echo 9.0`) });
    expect(readFileSync(asked, 'utf8')).toBe('--query-gpu=compute_cap --format=csv,noheader\n');
  });

  it.each([
    ['no such program', null, /cannot be run$/],
    ['a program that finds none and says so', 'echo "No devices were found"; exit 6', /found none$/],
    ['no answer', 'true', /found none$/],
    ['garbage', 'echo "<html>"', /is not understood$/],
    ['garbage beside a GPU', 'echo 9.0; echo "[N/A]"', /is not understood$/],
    ['a GPU with a command behind it', 'echo "9.0;reboot"', /is not understood$/],
  ])('%s: all that ptxas knows from sm_75 on, of variants the plain one', (_, answer, why) => {
    const done = machineCode([], answer === null ? {} : { NVIDIA_SMI: program(answer) });
    expect(said(done.stdout).architectures).toEqual(ALL);
    expect(said(done.stdout).why).toMatch(/^all that ptxas knows; no GPU to choose by: /);
    expect(said(done.stdout).why).toMatch(why);
    expect(done.kinds).toHaveLength(ALL.length + 1);
    expect(done.status).toBe(0);
  });

  it('a GPU that ptxas does not know, or that is too old, is left out aloud; alone it is a failure', () => {
    const some = machineCode([], { NVIDIA_SMI: program('echo 13.0; echo 9.0; echo 7.0') });
    expect(said(some.stdout).architectures).toEqual(['sm_90']);
    expect(some.stdout).toMatch(/none for sm_70/);
    expect(some.stdout).toMatch(/none for sm_130/);
    const none = machineCode([], { NVIDIA_SMI: program('echo 7.0') });
    expect(none).toMatchObject({ status: 1, made: null, stderr: expect.stringContaining('sm_70') });
  });

  it('a list is taken as it is, each once and in order, and no GPU is asked for', () => {
    const never = program('echo asked >&2; exit 1');
    const done = machineCode(['sm_90,sm_80,sm_90'], { NVIDIA_SMI: never });
    expect(said(done.stdout)).toEqual({ architectures: ['sm_80', 'sm_90'], why: 'as asked for' });
    expect(done.stderr).toBe('');
    expect(said(machineCode(['all'], { NVIDIA_SMI: never }).stdout)).toEqual({
      architectures: ALL,
      why: 'as asked for',
    });
  });

  it.each([['sm_91'], ['sm_70'], ['sm_90a'], ['sm_75,sm_99']])(
    'an architecture that is not known is a wrong use: %s',
    (list) => {
      const done = machineCode([list]);
      expect(done).toMatchObject({ status: 2, made: null, stderr: expect.stringContaining(ALL.join(', ')) });
    },
  );

  it.each([
    [['--machine-code', '']],
    [['--machine-code', 'sm_90;id']],
    [['--machine-code', 'sm_90,']],
    [['--machine-code', 'SM_90']],
    [['--machine-code', 'sm_90', 'sm_80']],
    [['--machine-code', '--output']],
    [['--machine-code', '--output', '']],
    [['--check', '--machine-code']],
    [['--check', 'all']],
    [['--output', 'x']],
    [['--machine']],
  ])('arguments that are not understood are a wrong use: %j', (args) => {
    expect(build(args)).toMatchObject({ status: 2, stderr: expect.stringMatching(/^usage: build-cuda /) });
  });

  it('a tool that is missing is told by name, with exit code 3; nothing is made', () => {
    const absent = join(folder, 'absent');
    for (const tool of ['PTXAS', 'FATBINARY']) {
      const done = machineCode(['all'], { [tool]: absent });
      expect(done).toMatchObject({ status: 3, made: null, stderr: expect.stringContaining(absent) });
    }
  });

  it('a tool that fails leaves what was there, and nothing else', () => {
    expect(machineCode(['all']).status).toBe(0);
    const before = readFileSync(output, 'latin1');
    const env = { ...process.env, PTXAS, FATBINARY: program('echo broken >&2; exit 7') };
    const args = [script, '--machine-code', 'all', '--output', output];
    const done = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    expect(done).toMatchObject({ status: 1, stderr: expect.stringContaining('broken') });
    expect(readFileSync(output, 'latin1')).toBe(before);
    expect(readdirSync(join(folder, 'made'))).toEqual(['vram.fatbin']);
  });
});

const toolkit = ['ptxas', 'fatbinary'].every((tool) => spawnSync(tool, ['--version']).status === 0);
const bed = await cudaTestbed();
const missing = toolkit ? bed.missing : 'ptxas and fatbinary are not here (CUDA toolkit)';

describe('build:cuda --machine-code with the toolkit', () => {
  it.skipIf(missing !== null)(
    `machine code and the committed PTX in one file, which the addon takes and the test driver ` +
      `runs${missing === null ? '' : ` (NOT RUN: ${missing})`}`,
    async () => {
      if (bed.missing !== null) throw new Error(bed.missing);
      const tools = { PTXAS: 'ptxas', FATBINARY: 'fatbinary' };
      const done = machineCode(['sm_75,sm_90'], tools);
      expect(done.stderr).toBe('');
      const bytes = new Uint8Array(readFileSync(output));
      expect(entriesOf(bytes)).toEqual([
        [ELF, 75],
        [ELF, 90],
        [PTX, 75],
      ]);
      const [, sha256 = ''] = /sha256:([0-9a-f]{64})$/m.exec(done.stdout) ?? [];
      bed.emulator.reset();
      const device = await bed.backend({ kernelsPath: output }).open(0, { drills: true });
      expect(device.info.driver).toContain(`fat binary sha256:${sha256}`);
      await managerWork(device, bed);
      await device.close();
      expect(bed.emulator.liveAllocations().total).toBe(0);
      machineCode(['sm_75,sm_90'], tools);
      expect(new Uint8Array(readFileSync(output))).toEqual(bytes);
    },
  );
});
