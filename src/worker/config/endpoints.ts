import type { EngineAddress, EngineEndpoint } from '../executions/index.js';
import type { Settings } from './settings.js';

/** The worker's connections to its configured engines. */
export function engineEndpoints({ engines }: Settings): EngineEndpoint[] {
  return engines.map(({ model, url, socket, weights, atOnce }) => ({
    model,
    weights,
    atOnce,
    address: socket === undefined ? loopback(url ?? '') : { socket },
  }));
}

/** From a URL that was checked. */
function loopback(url: string): EngineAddress {
  const { hostname, port } = new URL(url);
  return { host: hostname === '[::1]' ? '::1' : '127.0.0.1', port: port === '' ? HTTP_PORT : Number(port) };
}

const HTTP_PORT = 80;
