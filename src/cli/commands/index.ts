export { commandsFor } from './by-name.js';
