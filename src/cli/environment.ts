import type { Command, Help } from 'commander';

/**
 * What the program reads from the environment, for `--help`; docs/cli.md begins each row with the same words, and a test
 * compares them.
 */
export const ENVIRONMENT: readonly (readonly [name: string, effect: string])[] = [
  [
    'VRAM_RESIDENCY_FORCE_HOST',
    '`1`, `true` or `yes`: mock mode. Host memory only, marked as an override; refused (3) under `vram-only`',
  ],
  ['VRAM_RESIDENCY_DIGEST', 'the engine that hashes on the host: `native` (default), `wasm` or `hash-wasm`'],
  [
    'VRAM_RESIDENCY_HASHER',
    'how `native` hashes 4096-byte blocks: `avx512`, `sha-ni`, `avx2`, `armv8` or `node`; default: the fastest here',
  ],
  [
    'VRAM_RESIDENCY_DEBUG',
    '`1`: an internal error (70) shows its stack, and all that drivers write to stderr is shown',
  ],
  [
    'VRAM_RESIDENCY_LIBCUDA',
    "the CUDA driver library to open instead of the system's; refused under `vram-only`",
  ],
  [
    'VRAM_RESIDENCY_CUDA_KERNELS',
    'a file of machine code to load instead of the PTX that ships; refused under `vram-only`',
  ],
  [
    'XDG_STATE_HOME',
    'an absolute path: private keys are in its folder `vram-residency`; default `~/.local/state`',
  ],
  ['LOCALAPPDATA', 'the same on Windows, where `XDG_STATE_HOME` is not set'],
  ['NOTIFY_SOCKET', 'the socket of the service manager that started `serve`, as systemd sets it'],
  ['KUBERNETES_SERVICE_HOST', 'if it is set, `serve` takes itself to be in a container'],
];

/** The table as a part of a command's help, laid out as its options are. */
export function environmentHelp(command: Command): string {
  const helper: Help = command.createHelp();
  helper.prepareContext({ helpWidth: command.configureOutput().getOutHelpWidth?.() ?? 80 });
  const width = Math.max(...ENVIRONMENT.map(([name]) => name.length));
  const rows = ENVIRONMENT.map(([name, effect]) =>
    helper.formatItem(name, width, effect.replaceAll('`', ''), helper),
  );
  return `\nEnvironment variables:\n${rows.join('\n')}\n`;
}
