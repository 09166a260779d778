import { describeFeature } from './describe-feature.js';

await describeFeature('signature_robustness');
