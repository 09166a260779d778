// How a worker is to run: the file, the flags, and what they must be together.
export { engineEndpoints } from './endpoints.js';
export { checkSettings, readSettingsFile, type Settings } from './settings.js';
