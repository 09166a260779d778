// Durations of operations: a line of throughput while one runs, and a bar for each completed one.
import type { Comparison, Timed } from '../protocol.js';
import { byId, element, setText } from './dom.js';
import { cameBack, duration, rate } from './format.js';

const MOST = 6;
const WIDTH = 320;
const HEIGHT = 64;
/** Progress closer together than this is one point. */
const LEAST_STEP_MS = 8;
/** Fewer make no line. */
const LEAST_POINTS = 3;
const PHASES: Readonly<Record<string, string>> = {
  download: 'Downloading',
  load: 'Hashing and copying to the device',
  verify: 'Hashing in place',
  readback: 'Reading back',
};

interface Row extends Timed {
  readonly what: string;
  readonly note: string;
  /** `other`: not a check in place. */
  readonly kind: 'place' | 'other';
}

export class Times {
  readonly #list = byId('times', HTMLOListElement);
  readonly #rate = byId('rate', HTMLElement);
  #rows: readonly Row[] = [];
  #phase = '';
  #points: { readonly at: number; readonly bytes: number }[] = [];

  clear(): void {
    this.#rows = [];
    this.#phase = '';
    byId('spark', HTMLElement).hidden = true;
    setText(this.#rate, '');
    this.#draw();
  }

  /** A following phase starts a new line, and so does a second check. Too few steps draw none. */
  progress(phase: string, done: number): void {
    if (PHASES[phase] === undefined) return;
    const now = performance.now();
    const last = this.#points.at(-1);
    if (phase !== this.#phase || last === undefined || done <= last.bytes) {
      this.#phase = phase;
      this.#points = [{ at: now, bytes: done }];
      return;
    }
    if (now - last.at < LEAST_STEP_MS) return;
    this.#points.push({ at: now, bytes: done });
    this.#drawLine();
  }

  add(what: string, timed: Timed, note = '', kind: Row['kind'] = 'place'): void {
    this.#rows = [{ what, ms: timed.ms, bytes: timed.bytes, note, kind }, ...this.#rows].slice(0, MOST);
    if (timed.bytes > 0) setText(this.#rate, `${what}: ${rate(timed.bytes, timed.ms)}`);
    this.#draw();
  }

  addComparison({ inPlace, readBack, webCrypto }: Comparison): void {
    this.add('WebCrypto SHA-256', webCrypto, 'a copy in main memory', 'other');
    this.add('Read back and hash', readBack, cameBack(readBack.readbackBytes), 'other');
    this.add('Verify in place', inPlace, cameBack(inPlace.readbackBytes));
  }

  #draw(): void {
    const longest = Math.max(...this.#rows.map(({ ms }) => ms), 1);
    this.#list.replaceChildren(
      ...this.#rows.map(({ what, ms, bytes: size, note, kind }) => {
        const fill = element('i', '');
        fill.style.inlineSize = `${Math.max(1, (100 * ms) / longest)}%`;
        const detail = [size === 0 ? '' : rate(size, ms), note].filter((part) => part !== '').join(', ');
        const row = element(
          'li',
          '',
          element('span', '', what),
          element('strong', '', duration(ms)),
          element('span', 'bar', fill),
          element('span', 'soft', detail),
        );
        row.dataset['kind'] = kind;
        return row;
      }),
    );
  }

  #drawLine(): void {
    const points = this.#points;
    const [first, last] = [points[0], points.at(-1)];
    if (first === undefined || last === undefined) return;
    const rates = points.slice(1).map((point, at) => {
      const before = points[at] ?? first;
      return { at: point.at, value: (point.bytes - before.bytes) / (point.at - before.at) };
    });
    if (rates.length < LEAST_POINTS) return;
    const highest = Math.max(...rates.map(({ value }) => value), Number.MIN_VALUE);
    const span = Math.max(1, last.at - first.at);
    byId('spark', HTMLElement).hidden = false;
    setText(
      byId('spark-text', HTMLElement),
      `${PHASES[this.#phase] ?? ''}: ${rate(last.bytes - first.bytes, span)}`,
    );
    const path = rates
      .map(({ at, value }, index) => {
        const x = (WIDTH * (at - first.at)) / span;
        const y = HEIGHT - 4 - ((HEIGHT - 8) * value) / highest;
        return `${index === 0 ? `M0 ${y.toFixed(1)} L` : ''}${x.toFixed(1)} ${y.toFixed(1)}`;
      })
      .join(' L');
    document.getElementById('spark-line')?.setAttribute('d', path);
    document.getElementById('spark-area')?.setAttribute('d', `${path} L${WIDTH} ${HEIGHT} L0 ${HEIGHT} Z`);
  }
}
