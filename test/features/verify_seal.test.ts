import { describeFeature } from './describe-feature.js';

await describeFeature('verify_seal');
