import { webGpuTargets } from '../support/backends.js';
import { describeContract } from './describe.js';

describeContract(await webGpuTargets());
