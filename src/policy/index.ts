export { classify, type Residency } from './classify.js';
export {
  acceptedClasses,
  checkPolicy,
  type DecideOptions,
  decide,
  type Policy,
  policyViolation,
} from './decide.js';
