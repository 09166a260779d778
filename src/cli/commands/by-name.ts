import type { AddCommand } from '../context.js';

/** Every command, in the order of the help. Each is loaded alone when it is the one asked for: `digest` starts without the rest. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  check: async () => (await import('./check.js')).addCheck,
  digest: async () => (await import('./digest.js')).addDigest,
  devices: async () => (await import('./devices.js')).addDevices,
  selftest: async () => (await import('./selftest.js')).addSelftest,
  drill: async () => (await import('./drill.js')).addDrill,
  attest: async () => (await import('./attest.js')).addAttest,
  audit: async () => (await import('./audit.js')).addAudit,
  bench: async () => (await import('./bench.js')).addBench,
};

/** The command that the arguments name; all of them for help, or to find what a mistyped name meant; none for the version. */
export async function commandsFor(args: readonly string[]): Promise<readonly AddCommand[]> {
  if (args[0] === '--version' || args[0] === '-V') return [];
  const wanted = Object.entries(COMMANDS).find(([name]) => name === args[0]);
  if (wanted !== undefined) return [await wanted[1]()];
  return await Promise.all(Object.values(COMMANDS).map((load) => load()));
}
