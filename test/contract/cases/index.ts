import type { ContractCase } from '../context.js';
import { bindingCases } from './binding.js';
import { cutCases } from './cuts.js';
import { faultCases } from './faults.js';
import { fillingCases } from './filling.js';
import { isolationCases } from './isolation.js';
import { memoryCases } from './memory.js';
import { offsetCases } from './offsets.js';
import { openingCases } from './opening.js';
import { patchCases } from './patch.js';
import { progressCases } from './progress.js';
import { randomCases } from './random.js';
import { readbackCases } from './readback.js';
import { sharingCases } from './sharing.js';
import { stateCases } from './states.js';
import { togetherCases } from './together.js';
import { treeCases } from './tree.js';
import { writingCases } from './writing.js';

/** Every rule of Device and Region, for every backend; runs without a test framework, so that a page can run it too. */
export const contractCases: readonly ContractCase[] = [
  ...openingCases,
  ...treeCases,
  ...progressCases,
  ...togetherCases,
  ...offsetCases,
  ...writingCases,
  ...fillingCases,
  ...stateCases,
  ...patchCases,
  ...faultCases,
  ...readbackCases,
  ...memoryCases,
  ...isolationCases,
  ...bindingCases,
  ...cutCases,
  ...sharingCases,
  ...randomCases,
];
