import { segmentedWebGpuTargets } from '../support/backends.js';
import { describeContract } from './describe.js';

describeContract(await segmentedWebGpuTargets());
