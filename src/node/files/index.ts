// Files and model folders, opened so that they cannot be swapped between check and use.
export { loadExpected } from './expected-file.js';
export { type FileSource, fileSource } from './file-source.js';
export {
  type AuditFile,
  type AuditFileSystem,
  nodeFileSystem,
  readChunks,
  readSmall,
  replaceFile,
  targetOfTemporary,
  writeFully,
} from './file-system.js';
export { readInput } from './input-file.js';
export { makeDirectories } from './make-directories.js';
export { type OpenModelOptions, openModel, openShard } from './model-files.js';
export type { Model, ModelFile, ModelFormat, ModelShard } from './model-types.js';
export { placeOfFile } from './place-of-file.js';
export { checkTrustOwner, directoryFault, MAX_UID, secrecyFault } from './rights.js';
export type { SourceFacts } from './source-facts.js';
export { codeOf, hasCode, withPath } from './system-error.js';
