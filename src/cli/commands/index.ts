// The commands, one file each.
export { commandsFor } from './by-name.js';
