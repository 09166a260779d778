// What ONNX Runtime Web needs from Node: a GPU device through Dawn, and the globals of a page while a session is made.
import { onFirstCall } from '../on-first-call.js';

export { withGpuGlobals } from './gpu-globals.js';

/**
 * Opens a GPU through Dawn as an engine wants it; see open-device.ts.
 * Errors: INVALID_INPUT, DEVICE_UNAVAILABLE.
 */
export const openDevice = onFirstCall(async () => (await import('./open-device.js')).openDevice);
