import { ForeignCalls, VramError } from '../base/index.js';

/** How long the browser may take for one call. */
const FILE_SYSTEM_MS = 10_000;
const FOLDER = 'vram-residency';

const calls = new ForeignCalls();

/** One call into the browser's file system, waited for with a limit. Errors: those of the call, DEVICE_UNAVAILABLE. */
export function fileCall<T>(call: () => Promise<T>): Promise<T> {
  const stalled = (): VramError =>
    new VramError(
      'DEVICE_UNAVAILABLE',
      `the browser's file system has not answered for ${FILE_SYSTEM_MS} ms`,
    );
  return calls.run(call, { limitMs: FILE_SYSTEM_MS, stalled });
}

/** A folder of this library in the origin private file system. Errors: DEVICE_UNAVAILABLE. */
export async function privateFolder(name: string): Promise<FileSystemDirectoryHandle> {
  // Missing outside secure contexts and in older browsers, despite the types.
  const storage: StorageManager | undefined = globalThis.navigator?.storage;
  if (typeof storage?.getDirectory !== 'function') {
    throw new VramError(
      'DEVICE_UNAVAILABLE',
      'this browser has no private file system here: use a current one, over https or from localhost',
    );
  }
  try {
    const root = await fileCall(() => storage.getDirectory());
    const folder = await fileCall(() => root.getDirectoryHandle(FOLDER, { create: true }));
    return await fileCall(() => folder.getDirectoryHandle(name, { create: true }));
  } catch (cause) {
    // Private windows of some browsers, and sites whose data the user blocks.
    throw new VramError('DEVICE_UNAVAILABLE', 'the browser refuses its private file system to this page', {
      cause,
    });
  }
}

/** The file of that name, null where there is none. Errors: those of the file system. */
export async function findFile(
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<FileSystemFileHandle | null> {
  try {
    return await fileCall(() => folder.getFileHandle(name));
  } catch (error) {
    if (isDomError(error, 'NotFoundError')) return null;
    throw error;
  }
}

/** Removes a file or a folder with what is in it; false where there is none. Errors: those of the file system. */
export async function removeEntry(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  try {
    await fileCall(() => folder.removeEntry(name, { recursive: true }));
    return true;
  } catch (error) {
    if (isDomError(error, 'NotFoundError')) return false;
    throw error;
  }
}

export function isDomError(error: unknown, name: string): boolean {
  return error instanceof DOMException && error.name === name;
}
