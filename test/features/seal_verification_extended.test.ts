import { describeFeature } from './describe-feature.js';

await describeFeature('seal_verification_extended');
