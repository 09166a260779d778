// Where the Node-API addon lies, and whether a file can be it. What its functions do is known to the rooms that call them.
export { unfitHeader } from './header.js';
export { hasFunctions, optionalAddon } from './optional.js';
export { addonPaths, prebuiltPlatforms } from './paths.js';
