export { classify, type Residency } from './classify.js';
export { acceptedClasses, checkPolicy, decide, type Policy, policyViolation } from './decide.js';
