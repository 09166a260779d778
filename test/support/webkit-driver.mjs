// Drives WebKitGTK's MiniBrowser through WebKitWebDriver, which Debian packages as webkit2gtk-driver: WebDriver over HTTP.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const NAME = 'WebKitWebDriver';
const START_MS = 30_000;
const CALL_MS = 60_000;
const STEP_MS = 100;

/** The driver in PATH; null where there is none, or no display for the browser's window. */
export function findWebKit() {
  if (!process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return null;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, NAME)).find((path) => existsSync(path)) ?? null;
}

/** Starts driver and browser. */
export async function launchWebKit(path) {
  const port = await freePort();
  const driver = spawn(path, [`--port=${port}`], { stdio: 'ignore' });
  const failed = new Promise((_, reject) => driver.once('error', reject));
  failed.catch(() => undefined);
  const end = async () => {
    if (driver.exitCode !== null || driver.signalCode !== null || driver.pid === undefined) return;
    driver.kill();
    await once(driver, 'exit');
  };
  const address = `http://127.0.0.1:${port}`;
  try {
    await Promise.race([ready(address), failed]);
    const { sessionId, capabilities } = await call('POST', `${address}/session`, { capabilities: {} });
    return new WebKit(`${address}/session/${sessionId}`, capabilities.browserVersion, end);
  } catch (error) {
    await end();
    throw error;
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function ready(address) {
  let cause;
  for (let waited = 0; waited < START_MS; waited += STEP_MS) {
    try {
      await call('GET', `${address}/status`);
      return;
    } catch (error) {
      cause = error;
      await pause(STEP_MS);
    }
  }
  throw new Error(`${NAME} did not answer within ${START_MS} ms`, { cause });
}

async function call(method, url, body) {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(CALL_MS),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${NAME}: ${value.error}: ${value.message}`);
  return value;
}

/** One tab. */
class WebKit {
  #session;
  #end;
  version;

  constructor(session, version, end) {
    this.#session = session;
    this.version = version;
    this.#end = end;
  }

  async open(url) {
    await call('POST', `${this.#session}/url`, { url });
  }

  evaluate(script, ...args) {
    return call('POST', `${this.#session}/execute/sync`, { script, args });
  }

  async click(selector) {
    await call('POST', `${await this.#find(selector)}/click`, {});
  }

  async choose(selector, path) {
    await call('POST', `${await this.#find(selector)}/value`, { text: path });
  }

  async screenshot() {
    return Buffer.from(await call('GET', `${this.#session}/screenshot`), 'base64');
  }

  async close() {
    try {
      await call('DELETE', this.#session);
    } finally {
      await this.#end();
    }
  }

  async #find(selector) {
    const found = await call('POST', `${this.#session}/element`, { using: 'css selector', value: selector });
    return `${this.#session}/element/${Object.values(found)[0]}`;
  }
}
