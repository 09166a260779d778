import { describeFeature } from './describe-feature.js';

await describeFeature('seal_model');
