import type { CliIo } from './io.js';
import { escapeForTerminal, formatBytes, formatMs, formatRate } from './text.js';

const BAR_CELLS = 24;
const REDRAW_MS = 100;

/** Shows bytes, rate and time left: one redrawn line on a terminal, nothing in between otherwise. */
export class Progress {
  readonly #io: CliIo;
  readonly #label: string;
  readonly #started = performance.now();
  #drawnAt = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(io: CliIo, label: string) {
    this.#io = io;
    this.#label = escapeForTerminal(label);
  }

  update(phase: string, bytes: number, totalBytes: number): void {
    if (!this.#io.stderrIsTerminal) return;
    const now = performance.now();
    if (now - this.#drawnAt < REDRAW_MS && bytes < totalBytes) return;
    this.#drawnAt = now;
    this.#drawn = true;
    const share = totalBytes > 0 ? Math.min(bytes / totalBytes, 1) : 1;
    const filled = Math.round(share * BAR_CELLS);
    const elapsed = now - this.#started;
    const left = share > 0 ? (elapsed / share) * (1 - share) : 0;
    const line =
      `${this.#label} ${phase} [${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}] ` +
      `${formatBytes(bytes)} of ${formatBytes(totalBytes)}, ${formatRate(bytes, elapsed)}, ${formatMs(left)} left`;
    this.#io.stderr(`\r\u001b[K${line.slice(0, Math.max(this.#io.columns - 1, 20))}`);
  }

  /** Clears the line, so that what is printed next starts clean. */
  done(): void {
    if (this.#drawn) this.#io.stderr('\r\u001b[K');
    this.#drawn = false;
  }
}
