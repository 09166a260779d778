// The worker: one process that holds models sealed and verified on one device, and the HTTP service in front of it.
export { checkSettings, readSettingsFile, type Settings } from './config/index.js';
export { takeDeviceLock } from './lock/index.js';
export { ShardWatch } from './models/index.js';
export { type Service, serve } from './serve.js';
export { ServiceManager } from './service-manager.js';
