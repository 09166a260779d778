export { type FileSource, fileSource } from './file-source.js';
export {
  type AuditFile,
  type AuditFileSystem,
  hasCode,
  nodeFileSystem,
  readChunks,
  readSmall,
  replaceFile,
  writeFully,
} from './file-system.js';
export {
  loadExpected,
  type Model,
  type ModelShard,
  type OpenModelOptions,
  openModel,
  openShard,
} from './model-files.js';
export { isOpenToOthers } from './private-file.js';
