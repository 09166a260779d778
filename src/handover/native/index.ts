export { addonTransport, openAddonTransport } from './transport.js';
