import { type EventPayloads, runOperation } from '../../events/index.js';
import type { Core } from '../state/index.js';

export type GuardClaimed = EventPayloads['guard.claimed'];

/** Records a report of a guard in another process. Changes no state. Errors: AUDIT_FAILED, STOPPED. */
export async function recordClaim(core: Core, claim: GuardClaimed): Promise<void> {
  await runOperation(core.events, 'claim', {}, async (operation) => {
    core.lifecycle.requireServing();
    await operation.record('guard.claimed', claim);
  });
}
