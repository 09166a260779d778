import type { FillNatively, ReadFileOptions, ReadNatively } from '../../digest/index.js';
import { eachWindow } from './file-windows.js';
import type { NativeHasher } from './native-hasher.js';

/** The source and the target of the bytes. */
export interface FileCopy {
  readonly read: ReadNatively;
  readonly copyTo: FillNatively;
}

/** Has the addon's threads copy a file. Errors: those of both ends, ABORTED. */
export async function copyFile(
  native: NativeHasher,
  byteLength: number,
  { read, copyTo }: FileCopy,
  options: ReadFileOptions,
): Promise<void> {
  await eachWindow(
    byteLength,
    ({ offset, length }) =>
      copyTo(offset, length, (sink) =>
        read(offset, length, (descriptor) => native.readFile(descriptor, offset, length, sink)),
      ),
    () => undefined,
    options,
  );
}
