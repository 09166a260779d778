import { describeFeature } from './describe-feature.js';

await describeFeature('audit_trail');
