export { type Classification, classify, type Residency } from './classify.js';
export {
  acceptedClasses,
  checkPolicy,
  type Decision,
  decide,
  POLICIES,
  type Policy,
  policyViolation,
} from './decide.js';
