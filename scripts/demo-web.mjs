// npm run demo:web [-- PORT]: builds the page of examples/browser and serves it on loopback until it is interrupted.
import { buildWeb } from './build-web.mjs';
import { serveWeb } from './serve-web.mjs';

const [port = '8137'] = process.argv.slice(2);
if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
  console.error('port: must be a number from 0 (a free one) to 65535');
  process.exit(2);
}
await import('./build.mjs');
const { folder } = await buildWeb();
const { url, close } = await serveWeb(folder, Number(port));
console.log(`\nThe page is at ${url} (Ctrl+C ends it)`);
process.once('SIGINT', () => void close());
process.once('SIGTERM', () => void close());
