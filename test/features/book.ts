import { StepBook } from './gherkin.js';
import { parameterTypes } from './parameters.js';
import { auditSteps } from './steps/audit.js';
import { damageSteps } from './steps/damage.js';
import { eventSteps } from './steps/events.js';
import { handleSteps } from './steps/handles.js';
import { loadSteps } from './steps/load.js';
import { outcomeSteps } from './steps/outcome.js';
import { sealingSteps } from './steps/sealing.js';
import { workerSteps } from './steps/worker.js';
import type { World } from './world.js';

/** All step definitions. */
export function stepBook(): StepBook<World> {
  const book = new StepBook<World>(parameterTypes());
  for (const add of [
    workerSteps,
    sealingSteps,
    handleSteps,
    damageSteps,
    loadSteps,
    outcomeSteps,
    eventSteps,
    auditSteps,
  ]) {
    add(book);
  }
  return book;
}
