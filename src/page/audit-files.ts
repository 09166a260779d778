import { CHECKPOINT_FILE, type MemorySink, SEGMENT_SUFFIX } from '../audit/index.js';
import { utf8 } from '../base/index.js';

/** A file of an audit log's directory. Put together in one folder they are what `vram-residency audit verify` reads. */
export interface AuditFile {
  readonly name: string;
  readonly blob: Blob;
}

/** A log in memory as the files of its directory: segments, and the newest checkpoint once one was signed. */
export function auditFiles(sink: MemorySink): readonly AuditFile[] {
  const { latestCheckpoint } = sink;
  const segments = sink.segments().map(({ stem, bytes }) => fileOf(stem + SEGMENT_SUFFIX, bytes));
  return latestCheckpoint === null
    ? segments
    : [...segments, fileOf(CHECKPOINT_FILE, utf8(latestCheckpoint.note))];
}

function fileOf(name: string, bytes: Uint8Array): AuditFile {
  return { name, blob: new Blob([new Uint8Array(bytes)]) };
}
