import { describeFeature } from './describe-feature.js';

await describeFeature('vram_policy');
