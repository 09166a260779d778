import { cudaTargets } from '../support/backends.js';
import { describeContract } from './describe.js';

describeContract(await cudaTargets());
