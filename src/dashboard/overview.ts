import type { ModelView, WorkerStatus } from '../api-schema/index.js';
import { getStatus, parseEvent, Refusal, type Session } from './api.js';
import { BLOCK_BYTES, BlockMap, type MapPlan } from './block-map.js';
import { byId, setFlag, setText } from './dom.js';
import { EVENT_TYPES, EventList } from './event-list.js';
import { Facts, stateInWords } from './facts.js';
import { formatBytes, formatCount } from './format.js';
import { ModelRows } from './model-list.js';

/** The longest delay of an age on the page. */
const TICK_MS = 1_000;
/** The longest time between reads without an event, so that background verifications show too. */
const REFRESH_MS = 10_000;
/** Events within this time cause one read. */
const TOGETHER_MS = 100;
const RETRY_MS = 2_000;

/** Shows the worker's state until the session ends. */
export class Overview {
  readonly #map = new BlockMap(byId('map', HTMLCanvasElement));
  readonly #facts = new Facts();
  readonly #events = new EventList();
  readonly #models: ModelRows;
  readonly #onRefused: () => void;
  readonly #ended = new AbortController();
  #stream: EventSource | null = null;
  #status: WorkerStatus | null = null;
  #asking = false;
  #askAgain: ReturnType<typeof setTimeout> | null = null;
  #lost = false;

  /** `onRefused`: the session has ended. */
  constructor(session: Session, onRefused: () => void) {
    this.#onRefused = onRefused;
    this.#models = new ModelRows(session, (error) => this.#failed(error));
    this.#events.clear();
    const { signal } = this.#ended;
    const draw = (): void => this.#draw();
    globalThis.addEventListener('resize', draw, { signal });
    matchMedia('(prefers-color-scheme: dark)').addEventListener(
      'change',
      () => {
        this.#map.forgetColours();
        draw();
      },
      { signal },
    );
    const tick = setInterval(draw, TICK_MS);
    const refresh = setInterval(() => this.#askSoon(0), REFRESH_MS);
    signal.addEventListener('abort', () => {
      clearInterval(tick);
      clearInterval(refresh);
    });
    this.#follow();
    this.#askSoon(0);
  }

  end(): void {
    this.#ended.abort();
    this.#stream?.close();
    if (this.#askAgain !== null) clearTimeout(this.#askAgain);
  }

  /** After a dropped connection the browser itself continues after the last event. */
  #follow(): void {
    const stream = new EventSource('/v1/events');
    this.#stream = stream;
    stream.addEventListener('open', () => this.#askSoon(0));
    for (const type of EVENT_TYPES) {
      stream.addEventListener(type, ({ data }) => {
        const event = parseEvent(data);
        if (event === null) return;
        this.#events.add(event);
        this.#askSoon(TOGETHER_MS);
      });
    }
    stream.addEventListener('error', () => {
      this.#showLink(true);
      this.#askSoon(0);
      // Permanently refused, as after EVENTS_EXPIRED: read new events only.
      if (stream.readyState !== EventSource.CLOSED || this.#ended.signal.aborted) return;
      setTimeout(() => {
        if (!this.#ended.signal.aborted) this.#follow();
      }, RETRY_MS);
    });
  }

  #askSoon(ms: number): void {
    if (this.#askAgain !== null || this.#ended.signal.aborted) return;
    this.#askAgain = setTimeout(() => {
      this.#askAgain = null;
      if (this.#asking) this.#askSoon(TOGETHER_MS);
      else this.#ask();
    }, ms);
  }

  #ask(): void {
    this.#asking = true;
    getStatus()
      .then((status) => {
        if (this.#ended.signal.aborted) return;
        this.#status = status;
        this.#showLink(this.#stream?.readyState !== EventSource.OPEN);
        this.#draw();
      })
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        this.#asking = false;
      });
  }

  #failed(error: unknown): void {
    if (this.#ended.signal.aborted) return;
    if (error instanceof Refusal) {
      if (error.status === 401) this.#onRefused();
      return;
    }
    this.#showLink(true);
    this.#askSoon(RETRY_MS);
  }

  #showLink(lost: boolean): void {
    this.#lost = lost;
    const link = byId('link', HTMLParagraphElement);
    setFlag(link, 'lost', lost);
    setText(link, lost ? 'Connection lost. This page may be out of date; trying again…' : 'Live');
  }

  #draw(): void {
    const status = this.#status;
    if (status === null) return;
    const nowMs = Date.now();
    const { models } = status;
    setText(byId('worker', HTMLParagraphElement), `${status.workerId}, version ${status.version}`);
    document.title = `${this.#lost ? 'lost: ' : ''}${status.workerId} ${stateInWords(status)}`;
    this.#facts.show(status, nowMs);
    this.#models.show(models, nowMs);
    const plan = this.#map.draw(models, nowMs);
    byId('legend', HTMLUListElement).hidden = plan.cells === 0;
    setText(byId('map-caption', HTMLParagraphElement), caption(plan, models));
    const ill = models.filter(({ state }) => state === 'damaged').map(({ name }) => name);
    const alarm = byId('alarm', HTMLParagraphElement);
    alarm.hidden = ill.length === 0;
    setText(
      alarm,
      ill.length === 0
        ? ''
        : `Damaged: ${ill.join(', ')}. Damaged shards stay in quarantine until they are healed.`,
    );
  }
}

function caption({ blocks, blocksPerCell }: MapPlan, models: readonly ModelView[]): string {
  if (blocks === 0) return 'No block is resident.';
  const damaged = models
    .flatMap(({ shards }) => shards.flatMap((shard) => shard.damaged))
    .reduce((sum, range) => sum + range.blocks, 0);
  const cell =
    blocksPerCell === 1
      ? 'A cell is one block of 4 KiB'
      : `A cell is ${formatCount(blocksPerCell, 'block')} (${formatBytes(blocksPerCell * BLOCK_BYTES)})`;
  const found = damaged === 0 ? 'none known to be damaged' : `damage within ${formatCount(damaged, 'block')}`;
  return `${formatCount(blocks, 'block')} of ${formatCount(models.length, 'model')}, ${found}. ${cell}.`;
}
