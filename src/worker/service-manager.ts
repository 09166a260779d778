import { invalidInput } from '../base/index.js';
import { datagramSender, type SendDatagram } from '../node/index.js';

/** Frequent enough for people, rare enough to cost nothing. */
const STATUS_MS = 5_000;
/** Heartbeats sent within one watchdog interval. */
const BEATS = 3;

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The service's current activity in a few words; polled every few seconds. */
  readonly status: () => string;
  /** Called once if the service manager cannot be reached. */
  readonly onFailure: (reason: string) => void;
  readonly pid?: number;
  /** Null where no message can be sent. Default: the addon. */
  readonly send?: SendDatagram | null;
}

/**
 * The service manager that started this process: systemd, or another that speaks its protocol (sd_notify(3)). It gets
 * notices of readiness, activity and the end, and watchdog heartbeats.
 */
export class ServiceManager {
  readonly #path: string;
  readonly #send: SendDatagram;
  readonly #options: ServiceManagerOptions;
  readonly #watched: boolean;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | null = null;
  #lastStatus = '';
  #reachable = true;

  private constructor(path: string, send: SendDatagram, options: ServiceManagerOptions) {
    this.#path = path;
    this.#send = send;
    this.#options = options;
    const limitMs = watchdogMs(options.env, options.pid ?? process.pid);
    this.#watched = limitMs !== null;
    this.#everyMs = limitMs === null ? STATUS_MS : Math.min(STATUS_MS, Math.max(1, limitMs / BEATS));
  }

  /**
   * Null if no service manager started the process. Errors: INVALID_INPUT for a NOTIFY_SOCKET that is not a Unix
   * socket, or a watchdog time that is not a number.
   */
  static of(options: ServiceManagerOptions): ServiceManager | null {
    const path = options.env['NOTIFY_SOCKET'];
    if (path === undefined || path === '') return null;
    if (!/^[/@]/.test(path)) throw invalidInput('NOTIFY_SOCKET', 'must be an absolute path, or begin with @');
    const send = options.send === undefined ? datagramSender() : options.send;
    if (send === null) {
      options.onFailure('the service manager cannot be notified: the addon is missing');
      return null;
    }
    return new ServiceManager(path, send, options);
  }

  /** The service is ready. From now on status and heartbeats are sent. */
  ready(): void {
    this.#notify(`READY=1\n${this.#statusLine()}`);
    this.#timer = setInterval(() => this.#beat(), this.#everyMs);
    // The timer must not keep the process alive.
    this.#timer.unref();
  }

  /** The service is about to end. */
  stopping(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#notify('STOPPING=1\nSTATUS=releasing models\n');
  }

  #beat(): void {
    const before = this.#lastStatus;
    const status = this.#statusLine();
    const lines = `${this.#watched ? 'WATCHDOG=1\n' : ''}${this.#lastStatus === before ? '' : status}`;
    if (lines !== '') this.#notify(lines);
  }

  /** On one line: a second line would be another assignment. */
  #statusLine(): string {
    this.#lastStatus = this.#options.status().replace(/\s+/g, ' ');
    return `STATUS=${this.#lastStatus}\n`;
  }

  #notify(text: string): void {
    if (this.#send(this.#path, text) || !this.#reachable) return;
    this.#reachable = false;
    this.#options.onFailure('the service manager does not take messages at its socket (NOTIFY_SOCKET)');
  }
}

/**
 * The watchdog time, in milliseconds; null if there is no watchdog, or not for this process.
 */
function watchdogMs(env: Readonly<Record<string, string | undefined>>, pid: number): number | null {
  const { WATCHDOG_USEC: microseconds, WATCHDOG_PID: watched } = env;
  if (microseconds === undefined || microseconds === '') return null;
  if (watched !== undefined && watched !== String(pid)) return null;
  if (!/^[1-9]\d{0,14}$/.test(microseconds)) {
    throw invalidInput('WATCHDOG_USEC', 'must be a number of microseconds');
  }
  return Number(microseconds) / 1000;
}
