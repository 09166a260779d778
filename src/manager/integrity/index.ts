// Inspection of resident bytes: trees, samples, readback, and locating damage.
export { blocksOf, toRanges } from './block-ranges.js';
export { fetchRetained } from './device-hashes.js';
export { measure, residentDigest } from './device-tree.js';
export { type CheckedVerifyOptions, checkSampleSize, inspect } from './inspect.js';
export {
  isSealedGroup,
  type Localisation,
  localise,
  readGroup,
  residentLeaves,
} from './localise.js';
export { emitQuarantine, inQuarantine, quarantine } from './quarantine.js';
export { refine } from './refine.js';
export { BLOCKS_PER_GROUP, hashAt, leadTo, requireGroupsGenuine } from './retained-hashes.js';
export { groupLevel, groupsMatch } from './sample.js';
export { describeTensors, nameTensors, tensorPlace } from './tensor-places.js';
export { VERIFY_KEYS, type VerifyOptions } from './verify-options.js';
