// Allows one worker for each device.
export { takeDeviceLock } from './device-lock.js';
