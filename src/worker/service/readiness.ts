import type { CommitRequest, ModelView, WorkerState } from '../../api-schema/index.js';
import type { VramManager } from '../../manager/index.js';

/** Whether a worker should get requests. */
export interface Readiness {
  readonly state: WorkerState;
  readonly ready: boolean;
  /** Why it is not ready; null where it is. */
  readonly reason: string | null;
}

export type Phase = 'serving' | 'draining' | 'stopped';

/** Ready: the worker is not ending, every configured model is sealed and verified in device memory, and no queue is full. */
export function readinessOf(
  phase: Phase,
  manager: VramManager,
  configured: readonly CommitRequest[],
  models: readonly ModelView[],
  fullQueues: readonly string[],
): Readiness {
  const not = (state: WorkerState, reason: string): Readiness => ({ state, ready: false, reason });
  if (phase === 'stopped') return not('stopped', 'the worker has stopped');
  if (phase === 'draining') return not('draining', 'the worker is being drained');
  const { state, device } = manager.status();
  if (state === 'lost') return not('lost', `the device ${device} is gone`);
  if (state !== 'open') return not('failed', 'the manager has stopped; its audit log says why');
  for (const { name } of configured) {
    const found = models.find((model) => model.name === name)?.state;
    if (found === 'ready') continue;
    return not(found === 'damaged' ? 'ready' : 'starting', `the model ${name} is ${found ?? 'not there'}`);
  }
  const [full] = fullQueues;
  if (full !== undefined) return not('ready', `the queue of the model ${full} is full`);
  const resident = models.some((model) => model.state === 'ready' || model.state === 'damaged');
  return { state: resident ? 'ready' : 'empty', ready: true, reason: null };
}
