// Finds the Node-API addon and checks that a file can be it. Its functions are typed by the rooms that call them.
export { unfitHeader } from './header.js';
export { hasFunctions, optionalAddon } from './optional.js';
export { addonPaths, prebuiltPlatforms } from './paths.js';
