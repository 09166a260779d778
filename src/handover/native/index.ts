// The transport over the addon: sockets, descriptors, peers.
export { addonTransport, openAddonTransport } from './transport.js';
