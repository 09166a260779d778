import { describeFeature } from './describe-feature.js';

await describeFeature('concurrent_access');
