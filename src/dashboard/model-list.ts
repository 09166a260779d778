import type { ModelView } from '../api-schema/index.js';
import { drill, order, type Session } from './api.js';
import { BLOCK_BYTES } from './block-map.js';
import { byId, element, setFlag, setText } from './dom.js';
import { formatAge, formatBytes, formatCount } from './format.js';

const LABELS = { verify: 'Verify', heal: 'Heal', drill: 'Drill' } as const;
type Action = keyof typeof LABELS;
/** The most damaged shards of a model, and ranges of a shard, that are listed. */
const MOST_SHARDS = 3;
const MOST_RANGES = 2;

interface Row {
  readonly item: HTMLLIElement;
  readonly title: HTMLElement;
  readonly state: HTMLElement;
  readonly why: HTMLElement;
  readonly size: HTMLElement;
  readonly verified: HTMLElement;
  readonly scrubbed: HTMLElement;
}

/** The models and their actions. Rows are updated in place, which keeps the focus. */
export class ModelRows {
  readonly #list = byId('models', HTMLUListElement);
  readonly #none = byId('no-models', HTMLParagraphElement);
  readonly #outcome = byId('outcome', HTMLParagraphElement);
  readonly #rows = new Map<string, Row>();
  readonly #session: Session;
  readonly #onFailure: (error: unknown) => void;

  constructor(session: Session, onFailure: (error: unknown) => void) {
    this.#session = session;
    this.#onFailure = onFailure;
    this.#list.replaceChildren();
  }

  show(models: readonly ModelView[], nowMs: number): void {
    this.#none.hidden = models.length > 0;
    const names = new Set(models.map(({ name }) => name));
    for (const [name, { item }] of this.#rows) {
      if (names.has(name)) continue;
      item.remove();
      this.#rows.delete(name);
    }
    for (const model of models) update(this.#row(model.name), model, nowMs);
  }

  #row(name: string): Row {
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    const title = element('h3', '');
    const state = element('p', 'state');
    const why = element('p', 'why');
    const [size, verified, scrubbed] = [element('dd', ''), element('dd', ''), element('dd', '')];
    const figure = (label: string, value: HTMLElement): HTMLElement =>
      element('div', '', element('dt', '', label), value);
    const item = element(
      'li',
      '',
      element('div', 'name', title, state, why),
      element(
        'dl',
        'figures',
        figure('Size', size),
        figure('Verified', verified),
        figure('Scrubbed', scrubbed),
      ),
      element('div', 'actions', ...this.#actions().map((action) => this.#button(name, action))),
    );
    this.#list.append(item);
    const row = { item, title, state, why, size, verified, scrubbed };
    this.#rows.set(name, row);
    return row;
  }

  #actions(): Action[] {
    const { role, drills } = this.#session;
    if (role === 'read') return [];
    if (role === 'execute') return ['verify'];
    return drills ? ['verify', 'heal', 'drill'] : ['verify', 'heal'];
  }

  #button(name: string, action: Action): HTMLButtonElement {
    const button = element('button', '', LABELS[action]);
    button.type = 'button';
    button.setAttribute('aria-label', `${LABELS[action]} ${name}`);
    if (action === 'drill') button.title = 'Flips one bit on purpose, on record';
    button.addEventListener('click', () => {
      button.disabled = true;
      setText(this.#outcome, `${LABELS[action]} ${name}: running…`);
      carryOut(name, action)
        .then((text) => setText(this.#outcome, text))
        .catch((error: unknown) => {
          setText(
            this.#outcome,
            `${LABELS[action]} ${name}: ${String(error instanceof Error ? error.message : error)}`,
          );
          this.#onFailure(error);
        })
        .finally(() => {
          button.disabled = false;
          button.focus();
        });
    });
    return button;
  }
}

async function carryOut(name: string, action: Action): Promise<string> {
  if (action === 'drill') {
    const { blocks } = await drill(name);
    return `Drill ${name}: one bit of block ${blocks.join(', ')} was flipped. Verification must find it.`;
  }
  const { ok, shards } = await order(name, action);
  const failed = shards.filter((shard) => !shard.ok).length;
  if (!ok) return `${LABELS[action]} ${name}: ${formatCount(failed, 'shard')} failed`;
  const blocks = shards.reduce((sum, shard) => sum + shard.blocks, 0);
  return action === 'verify'
    ? `Verify ${name}: every block is what was sealed`
    : `Heal ${name}: ${formatCount(blocks, 'block')} repaired`;
}

function update(row: Row, model: ModelView, nowMs: number): void {
  const { name, generation, state, byteLength, shards, progress } = model;
  setText(row.title, `${name}@${generation}`);
  setText(row.state, progress === null ? state : `${state}, ${percent(progress)}`);
  setText(row.why, why(model));
  setText(row.size, `${formatBytes(byteLength)}${shards.length > 1 ? `, ${shards.length} shards` : ''}`);
  setText(
    row.verified,
    age(
      shards.map(({ lastVerifiedAt }) => lastVerifiedAt),
      nowMs,
    ),
  );
  setText(
    row.scrubbed,
    age(
      shards.map(({ lastScrubbedAt }) => lastScrubbedAt),
      nowMs,
    ),
  );
  setFlag(row.item, 'ill', state === 'damaged' || state === 'failed');
}

/** Age of the least recent verification. */
function age(times: readonly (string | null)[], nowMs: number): string {
  const known = times.flatMap((time) => (time === null ? [] : [Date.parse(time)]));
  if (known.length === 0 || known.length < times.length) return 'not yet';
  return `${formatAge(nowMs - known.reduce((least, time) => Math.min(least, time)))} ago`;
}

function why({ failure, next, shards }: ModelView): string {
  if (failure !== null) return failure.detail;
  const damage = shards.filter(({ quarantined }) => quarantined).map(placeOf);
  if (damage.length > 0) {
    const more = damage.length - MOST_SHARDS;
    return [...damage.slice(0, MOST_SHARDS), ...(more > 0 ? [formatCount(more, 'further shard')] : [])].join(
      '; ',
    );
  }
  if (next === null) return '';
  const what = next.failure?.detail ?? (next.progress === null ? 'loading' : percent(next.progress));
  return `generation ${next.generation}: ${what}`;
}

function placeOf({ label, damaged }: ModelView['shards'][number]): string {
  if (damaged.length === 0) return `${label}: not located yet`;
  const said = damaged.slice(0, MOST_RANGES).map(({ firstBlock, blocks }) => {
    const last = firstBlock + blocks - 1;
    return blocks === 1 ? `block ${firstBlock}` : `somewhere in blocks ${firstBlock} to ${last}`;
  });
  const more = damaged.length > MOST_RANGES ? ` and ${damaged.length - MOST_RANGES} further ranges` : '';
  const [first] = damaged;
  const at =
    first === undefined ? '' : ` (from byte ${(first.firstBlock * BLOCK_BYTES).toLocaleString('en')})`;
  return `${label}: ${said.join(', ')}${more}${at}`;
}

function percent({ bytes, totalBytes }: { readonly bytes: number; readonly totalBytes: number }): string {
  return `${totalBytes === 0 ? 0 : Math.floor((bytes * 100) / totalBytes)} % loaded`;
}
