// Bundles a page for the browser and serves it on loopback, isolated (COOP and COEP) so that pages may share memory.
import { createServer } from 'node:http';
import { build } from 'esbuild';

/** The bytes of one script for pages or their workers. */
export async function bundleScript(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'chrome120',
    write: false,
    sourcemap: 'inline',
    logLevel: 'silent',
  });
  return outputFiles[0].contents;
}

/**
 * `files` maps further paths to bytes, such as weights that the page fetches, also in ranges; or to a function of request
 * and response. A path that ends in ".js" is a script.
 */
export async function servePage(entry, files = {}) {
  const script = await bundleScript(entry);
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    response.setHeader('cache-control', 'no-store');
    if (path === '/') {
      response
        .setHeader('content-type', 'text/html')
        .end('<!doctype html><script type="module" src="/page.js"></script>');
    } else if (path === '/page.js') {
      response.setHeader('content-type', 'text/javascript').end(script);
    } else if (typeof files[path] === 'function') {
      files[path](request, response);
    } else if (files[path]) {
      const file = files[path];
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      const body = first === undefined ? file : file.subarray(Number(first), Number(last) + 1);
      if (first !== undefined) response.setHeader('content-range', `bytes ${first}-${last}/${file.length}`);
      response.writeHead(first === undefined ? 200 : 206, {
        'content-type': path.endsWith('.js') ? 'text/javascript' : 'application/octet-stream',
        'content-length': body.length,
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    bytes: script.length,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}
