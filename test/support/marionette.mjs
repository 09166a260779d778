// Drives a Firefox by its own remote protocol, Marionette: WebDriver's commands as JSON over TCP. Firefox needs no driver
// beside it for that, and Playwright drives only a build of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const NAMES = ['firefox', 'firefox-esr'];
const START_MS = 60_000;
const STEP_MS = 100;
const MAX_MESSAGE_BYTES = 64 * 2 ** 20;
/** The key under which WebDriver hands out elements. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
const PREFERENCES = {
  'marionette.port': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'toolkit.telemetry.reportingpolicy.firstRun': false,
  'app.update.disabledForTesting': true,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
};

/** The Firefox that VRAM_RESIDENCY_FIREFOX names, or the system's; null where there is none. */
export function findFirefox() {
  const named = process.env.VRAM_RESIDENCY_FIREFOX;
  if (named) return named;
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return (
    NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path)) ??
    null
  );
}

/** Starts it without a window, in a profile of its own. */
export async function launchFirefox(path) {
  const profile = mkdtempSync(join(tmpdir(), 'vram-firefox-'));
  const lines = Object.entries(PREFERENCES).map(
    ([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`,
  );
  writeFileSync(join(profile, 'user.js'), lines.join(''));
  const child = spawn(path, ['--headless', '--marionette', '--no-remote', '--profile', profile], {
    stdio: 'ignore',
  });
  const failed = new Promise((_, reject) => child.once('error', reject));
  failed.catch(() => undefined);
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const port = await Promise.race([portIn(profile, child), failed]);
    return new Firefox(await Marionette.connect(port), end);
  } catch (error) {
    await end();
    throw error;
  }
}

async function portIn(profile, child) {
  const path = join(profile, 'MarionetteActivePort');
  for (let waited = 0; waited < START_MS; waited += STEP_MS) {
    if (child.exitCode !== null) throw new Error(`Firefox ended with ${child.exitCode} when it was started`);
    if (existsSync(path)) return Number(readFileSync(path, 'utf8'));
    await pause(STEP_MS);
  }
  throw new Error(`Firefox did not open its Marionette port within ${START_MS} ms`);
}

/** One tab. */
class Firefox {
  #marionette;
  #end;

  constructor(marionette, end) {
    this.#marionette = marionette;
    this.#end = end;
  }

  get version() {
    return this.#marionette.version;
  }

  async open(url) {
    await this.#marionette.send('WebDriver:Navigate', { url });
  }

  /** Runs the body of a function in the page, and gives what it returns. */
  async evaluate(script, ...args) {
    const { value } = await this.#marionette.send('WebDriver:ExecuteScript', { script, args, sandbox: null });
    return value;
  }

  async click(selector) {
    await this.#marionette.send('WebDriver:ElementClick', { id: await this.#find(selector) });
  }

  /** Chooses a file in the file field. */
  async choose(selector, path) {
    await this.#marionette.send('WebDriver:ElementSendKeys', { id: await this.#find(selector), text: path });
  }

  /** The page as it is seen, as PNG. */
  async screenshot() {
    const { value } = await this.#marionette.send('WebDriver:TakeScreenshot', { full: true, hash: false });
    return Buffer.from(value, 'base64');
  }

  async close() {
    this.#marionette.close();
    await this.#end();
  }

  async #find(selector) {
    const { value } = await this.#marionette.send('WebDriver:FindElement', {
      using: 'css selector',
      value: selector,
    });
    return value[ELEMENT];
  }
}

/** `[0, id, command, parameters]` and `[1, id, error, result]`, each behind its length in bytes and a colon. */
class Marionette {
  #socket;
  #waiting = new Map();
  #lastId = 0;
  #read = Buffer.alloc(0);
  version = '';

  static async connect(port) {
    const marionette = new Marionette();
    await marionette.#open(port);
    const { capabilities } = await marionette.send('WebDriver:NewSession', {
      strictFileInteractability: false,
    });
    marionette.version = capabilities.browserVersion;
    return marionette;
  }

  send(command, parameters) {
    this.#lastId += 1;
    const id = this.#lastId;
    const message = JSON.stringify([0, id, command, parameters]);
    this.#socket.write(`${Buffer.byteLength(message)}:${message}`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, command }));
  }

  close() {
    this.#socket.destroy();
  }

  async #open(port) {
    this.#socket = connect(port, '127.0.0.1');
    const greeted = new Promise((resolve) => this.#waiting.set('greeting', { resolve }));
    this.#socket.on('data', (data) => this.#take(data));
    this.#socket.on('close', () => {
      for (const { reject, command } of this.#waiting.values())
        reject?.(new Error(`${command}: Firefox is gone`));
      this.#waiting.clear();
    });
    await once(this.#socket, 'connect');
    await greeted;
  }

  #take(data) {
    this.#read = Buffer.concat([this.#read, data]);
    for (;;) {
      const colon = this.#read.indexOf(':');
      if (colon === -1) return;
      const length = Number(this.#read.toString('latin1', 0, colon));
      if (!(length <= MAX_MESSAGE_BYTES))
        return void this.#socket.destroy(new Error('not a message of Marionette'));
      const end = colon + 1 + length;
      if (this.#read.length < end) return;
      this.#settle(JSON.parse(this.#read.toString('utf8', colon + 1, end)));
      this.#read = this.#read.subarray(end);
    }
  }

  #settle(message) {
    const [, id, error, result] = Array.isArray(message) ? message : [1, 'greeting', null, message];
    const { resolve, reject, command } = this.#waiting.get(id) ?? {};
    this.#waiting.delete(id);
    if (error === null) resolve?.(result);
    else reject?.(new Error(`${command}: ${error.message}`));
  }
}
