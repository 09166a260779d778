// One worker a device.
export { type DeviceLock, type DeviceLockOptions, takeDeviceLock } from './device-lock.js';
