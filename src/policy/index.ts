// Residency classes: where memory lies as far as the platform can tell, and what a policy accepts.
// Decisions over facts enter. The backends collect the facts.
export { classify, type Residency } from './classify.js';
export { acceptedClasses, checkPolicy, decide, type Policy, policyViolation } from './decide.js';
