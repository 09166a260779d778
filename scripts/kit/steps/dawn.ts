import { Skip } from './context.js';

/** Dawn's binding is built for newer systems than the rest of the kit. Errors: Skip, naming what this system lacks. */
export async function requireDawn(): Promise<void> {
  try {
    await import('webgpu');
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const version = /version `([\w.]+)' not found/.exec(message)?.[1];
    throw new Skip(
      version === undefined
        ? `Dawn does not load: ${message}`
        : `Dawn needs ${version}, which this system lacks`,
    );
  }
}
