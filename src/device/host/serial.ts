export { Serial } from '../../serial.js';
