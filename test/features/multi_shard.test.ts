import { describeFeature } from './describe-feature.js';

await describeFeature('multi_shard');
