// Allows one worker for each device.
export { type DeviceLock, type DeviceLockOptions, takeDeviceLock } from './device-lock.js';
