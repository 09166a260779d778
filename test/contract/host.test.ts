import { hostTargets } from '../support/backends.js';
import { describeContract } from './describe.js';

describeContract(hostTargets());
