import { describeFeature } from './describe-feature.js';

await describeFeature('stress');
