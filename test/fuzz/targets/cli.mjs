import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const name = 'cli';
export const modules = ['cli/run.js', 'device/host/index.js', 'digest/index.js'];
/** Runs that open a device prove known answers on it. */
export const cost = 10;

const EXIT_CODES = [0, 1, 2, 3, 4, 5, 6];
const HEX = 'ab'.repeat(32);

export function create({ runCli, hostBackend, createPortableEngine }) {
  const folder = mkdtempSync(join(tmpdir(), 'vram-fuzz-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  // A token that others can read would be refused before anything else.
  const file = (name, content) => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const { publicKey } = generateKeyPairSync('ed25519');
  const files = [
    file('weights.bin', new Uint8Array(10_000).fill(3)),
    file('empty.bin', ''),
    file('token', 'a worker token of enough bytes'),
    file('short-token', 'x'),
    file('statement.json', '{"payload":"e30=","payloadType":"x","signatures":[]}'),
    file('public.pem', publicKey.export({ type: 'spki', format: 'pem' })),
    file('SHA256SUMS', `${HEX}  weights.bin\n`),
    join(folder, 'not-there'),
    folder,
  ];
  mkdirSync(join(folder, 'log'));
  const WORDS = [
    'digest',
    'check',
    'devices',
    'drill',
    'audit',
    'verify',
    'show',
    'attest',
    'help',
    '--help',
    '--version',
    '--json',
    '--device',
    'host',
    'auto',
    'cuda:0',
    'webgpu:0',
    'cuda:99999',
    '--policy',
    'any',
    'gpu',
    'vram-only',
    'none',
    '--budget',
    '1MiB',
    '512',
    '0',
    '-1',
    '1e9',
    '99999999999999999999',
    '--worker-id',
    'w',
    '../w',
    '--correlation-id',
    'c',
    'a\u001b[31m',
    '\u0000',
    '--token-file',
    '--expect',
    `sha256:${HEX}`,
    `fsverity-sha256-12:${HEX}`,
    'sha256:zz',
    '--flips',
    '--seed',
    '--',
    '-',
    '--verbose',
    '--log',
    'json',
    'pretty',
    '--nonce',
    HEX,
    '--unknown',
    '\ud800',
    'é\u202e',
    '',
    ...files,
  ];
  /**
   * Beginnings that lead somewhere. `attest key` and --audit write where they are told, so they get no path of their own
   * here.
   */
  const STARTS = [
    ['digest', files[0]],
    ['digest', '--json', files[0]],
    ['check', '--device', 'host', files[0]],
    ['check', '--device', 'host', '--json', files[0]],
    ['devices'],
    ['devices', '--json'],
    ['drill', '--device', 'host', files[0]],
    ['audit', 'verify', join(folder, 'log')],
    ['attest', 'verify', files[4], '--public-key', files[5]],
    ['--help'],
    ['digest', '--help'],
    [],
  ];

  return {
    make(random) {
      const args = [...random.pick(STARTS)];
      if (random.chance(75)) {
        for (let i = 1 + random.below(4); i > 0; i--) {
          const at = random.below(args.length + 1);
          if (random.chance(70)) args.splice(at, 0, random.pick(WORDS));
          else args.splice(at, 1);
        }
      }
      return args;
    },

    async check(args) {
      let stdout = '';
      let stderr = '';
      const code = await runCli(args, {
        io: {
          stdout: (text) => {
            stdout += text;
          },
          stderr: (text) => {
            stderr += text;
          },
          stdoutIsTerminal: false,
          stderrIsTerminal: false,
          columns: 80,
          env: {},
          signal: new AbortController().signal,
        },
        backends: () => [hostBackend()],
        engine: () => createPortableEngine('wasm'),
        main: '',
      });
      if (!EXIT_CODES.includes(code)) throw new Error(`exit code ${code}: ${stderr}`);
      for (const text of [stdout, stderr]) {
        if (/[^\P{Cc}\n\t]/u.test(text))
          throw new Error(`a control character is printed: ${JSON.stringify(text)}`);
        if (/^\s+at .*:\d+:\d+/m.test(text)) throw new Error(`a stack is printed: ${text}`);
        if (text.includes('a worker token')) throw new Error('the token is printed');
      }
      // One document and nothing else, wherever --json was taken for the option that it is.
      if (/^[[{]/.test(stdout)) JSON.parse(stdout);
      if (code === 0) return 'accepted';
      if (stderr === '' && stdout === '') throw new Error(`exit code ${code} without a word`);
      const [first = ''] = (stderr || stdout).replaceAll(folder, '').split('\n');
      return `exit ${['0', 'verification', 'usage', 'policy', 'memory', 'device', 'audit'][code]}: ${first.slice(0, 40)}`;
    },
  };
}
