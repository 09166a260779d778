import type { WorkerEvent } from '../api-schema/index.js';
import { byId, element } from './dom.js';
import { formatBytes, formatCount } from './format.js';

/** Limit of the list; the audit log has all events. */
const MOST_EVENTS = 50;

const WORDS: Readonly<Record<WorkerEvent['type'], string>> = {
  'worker.state': 'worker',
  'model.loading': 'loading',
  'model.progress': 'loading',
  'model.ready': 'ready',
  'model.failed': 'load failed',
  'model.replaced': 'replaced',
  'model.released': 'released',
  'shard.damaged': 'damage found',
  'damage.located': 'damage located',
  'shard.healed': 'healed',
  'heal.failed': 'healing failed',
  'scrub.finished': 'scrubbed',
  'drill.injected': 'drill: bit flipped',
};
const ILL: readonly WorkerEvent['type'][] = [
  'model.failed',
  'shard.damaged',
  'damage.located',
  'heal.failed',
];
const GOOD: readonly WorkerEvent['type'][] = ['model.ready', 'shard.healed'];

/** Every type of event, named as in the event stream. */
export const EVENT_TYPES = Object.keys(WORDS);

/** Events since the page was opened, newest first. */
export class EventList {
  readonly #list = byId('events', HTMLOListElement);
  readonly #none = byId('no-events', HTMLParagraphElement);

  add(event: WorkerEvent): void {
    // A load in progress shows in its model's row.
    if (event.type === 'model.progress') return;
    this.#none.hidden = true;
    this.#list.hidden = false;
    const time = element('time', '', new Date(event.at).toLocaleTimeString('en-GB'));
    time.dateTime = event.at;
    const item = element(
      'li',
      '',
      time,
      element('span', 'what', WORDS[event.type]),
      element('span', 'about', about(event)),
    );
    if (ILL.includes(event.type)) item.dataset['ill'] = '';
    if (GOOD.includes(event.type)) item.dataset['good'] = '';
    this.#list.prepend(item);
    while (this.#list.childElementCount > MOST_EVENTS) this.#list.lastElementChild?.remove();
  }

  clear(): void {
    this.#list.replaceChildren();
    this.#list.hidden = true;
    this.#none.hidden = false;
  }
}

function about({ model, generation, data }: WorkerEvent): string {
  const name = model === null ? [] : [generation === null ? model : `${model}@${generation}`];
  const values = Object.entries(data).flatMap(([key, value]) => {
    const tell = Object.hasOwn(TOLD, key) ? TOLD[key] : undefined;
    const words = value === null ? null : (tell ?? plainly(key))(value);
    return words === null ? [] : [words];
  });
  return [...name, ...values].join(', ');
}

type Value = string | number | boolean;

/** How the members of an event's `data` are shown; null: hidden. Unknown members of a newer worker are shown as they are. */
const TOLD: Readonly<Record<string, (value: Value) => string | null>> = {
  blocks: (value) => formatCount(Number(value), 'block'),
  bytes: (value) => formatBytes(Number(value)),
  byteLength: (value) => formatBytes(Number(value)),
  shards: (value) => formatCount(Number(value), 'shard'),
  firstByte: (value) => `from byte ${inWords(value)} on`,
  byte: (value) => `byte ${inWords(value)}`,
  exact: (value) => (value === true ? null : 'somewhere within them'),
  leasesRevoked: (value) => (value === 0 ? null : `${formatCount(Number(value), 'lease')} revoked`),
  durationMs: (value) => `in ${inWords(value)} ms`,
  ok: (value) => (value === true ? 'no damage' : 'damage'),
  code: String,
  detail: String,
  reason: String,
  state: String,
};

const plainly =
  (key: string) =>
  (value: Value): string =>
    `${key} ${inWords(value)}`;

function inWords(value: Value): string {
  if (typeof value === 'number')
    return Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(1);
  return String(value);
}
