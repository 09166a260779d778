import { hostTargets } from '../support/backends.js';
import { hostTarget } from '../support/host-target.js';
import { describeContract } from './describe.js';

const pooled = hostTarget('host with a pool', { poolBytes: 1024 * 1024 });

describeContract([...hostTargets(), { name: pooled.name, target: pooled, missing: null }]);
