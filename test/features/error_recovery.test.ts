import { describeFeature } from './describe-feature.js';

await describeFeature('error_recovery');
