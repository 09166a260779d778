// The settings of a worker: the file, the flags, and the checks of both together.
export { engineEndpoints } from './endpoints.js';
export { checkSettings, readSettingsFile, type Settings } from './settings.js';
