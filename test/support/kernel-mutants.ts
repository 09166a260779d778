// Bundled and run by scripts/mutate-kernels.mjs, which puts mutated texts in the place of the library's own.
import { ContractRun, type ContractTarget, contractCases } from '../contract/cases.js';
import { cudaTargets, type PresentBackend, webGpuTargets } from './backends.js';

interface Job {
  readonly texts: Readonly<Record<string, string>>;
  readonly backend: 'cuda' | 'webgpu';
}

export type Verdict =
  | { readonly fate: 'refused at open'; readonly by: string }
  | { readonly fate: 'killed by the contract suite'; readonly by: string }
  | { readonly fate: 'survived'; readonly cases: number };

declare global {
  /** Read by the modules that stand for the library's generated texts. */
  var mutatedKernels: Readonly<Record<string, string>>;
}

const MAX_MESSAGE = 160;

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split('\n')[0] ?? '').slice(0, MAX_MESSAGE);
}

async function present({ backend }: Job): Promise<ContractTarget> {
  const found: readonly PresentBackend[] = await (backend === 'cuda' ? cudaTargets() : webGpuTargets());
  const [first] = found;
  if (first === undefined || first.target === null) throw new Error(`no ${backend}: ${first?.missing}`);
  return first.target;
}

/**
 * Cases that say most about kernels first: a mutant dies sooner, a survivor meets them all. The shader for cuts is compiled
 * by cases with cuts alone, so these come before all others.
 */
const ORDER = [/^\[MS-006\] cuts/, /root/, /nodes|leaves/, /read|write|patch|heal/, /./];
const ordered = [...contractCases].sort((a, b) => rank(a.name) - rank(b.name));
function rank(name: string): number {
  return ORDER.findIndex((pattern) => pattern.test(name));
}

async function judge(job: Job): Promise<Verdict> {
  globalThis.mutatedKernels = job.texts;
  const target = await present(job);
  try {
    const device = await target.open({ drills: true });
    await device.close();
  } catch (error) {
    return { fate: 'refused at open', by: firstLine(error) };
  }
  const run = new ContractRun(target);
  let cases = 0;
  try {
    for (const test of ordered) {
      const outcome = await run.run(test);
      if (outcome.status === 'failed') return { fate: 'killed by the contract suite', by: test.name };
      if (outcome.status === 'passed') cases++;
    }
  } finally {
    await run.close();
  }
  return { fate: 'survived', cases };
}

process.on('message', (job: Job) => {
  judge(job).then(
    (verdict) => process.send?.(verdict),
    (error: unknown) => process.send?.({ problem: firstLine(error) }),
  );
});
