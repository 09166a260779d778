import type { WorkerStatus } from '../api-schema/index.js';
import { byId, element, setFlag, setText } from './dom.js';
import { formatAge, formatBytes, formatCount } from './format.js';

interface Fact {
  readonly value: HTMLElement;
  readonly note: HTMLElement;
}

/** The main figures of the worker, which a person on call reads first. */
export class Facts {
  readonly #list = byId('facts', HTMLDListElement);
  readonly #facts = new Map<string, Fact>();

  show(status: WorkerStatus, nowMs: number): void {
    const { device, capacity, models } = status;
    const shards = models.flatMap((model) => model.shards);
    const damaged = shards.filter(({ quarantined }) => quarantined).length;
    const up = `up for ${formatAge(nowMs - Date.parse(status.startedAt))}`;
    this.#set('State', stateInWords(status), status.reason ?? up, status.reason !== null || damaged > 0);
    this.#set('Oldest verification', ...oldest(status, nowMs));
    this.#set(
      'Damaged shards',
      String(damaged),
      `of ${formatCount(shards.length, 'resident shard')}`,
      damaged > 0,
    );
    const total = capacity.totalBytes === null ? 'size not known' : `of ${formatBytes(capacity.totalBytes)}`;
    const reserved = capacity.reservedBytes === 0 ? '' : `, ${formatBytes(capacity.reservedBytes)} reserved`;
    this.#set('Memory in use', formatBytes(capacity.usedBytes), total + reserved);
    const { running, queued } = status.executions;
    this.#set('Executions', `${running} running`, `${queued} waiting`);
    this.#set('Device', device.name, `${device.id}, ${device.residency}, ${device.execution}`);
  }

  #set(name: string, value: string, note: string, ill = false): void {
    let fact = this.#facts.get(name);
    if (fact === undefined) {
      fact = { value: element('span', ''), note: element('small', '') };
      this.#facts.set(name, fact);
      this.#list.append(
        element('div', '', element('dt', '', name), element('dd', '', fact.value, fact.note)),
      );
    }
    setText(fact.value, value);
    setText(fact.note, note);
    const { parentElement } = fact.value;
    if (parentElement !== null) setFlag(parentElement, 'ill', ill);
  }
}

/** Readiness covers only the configured models: damage of another one must not appear beside a bare "ready". */
export function stateInWords({ state, models }: WorkerStatus): string {
  const damaged = models.some((model) => model.state === 'damaged');
  return damaged ? `${state}, with damage` : state;
}

function oldest({ models }: WorkerStatus, nowMs: number): [string, string] {
  const shards = models.flatMap((model) => model.shards);
  if (shards.length === 0) return ['–', 'nothing is resident'];
  const times = shards.flatMap(({ lastVerifiedAt }) =>
    lastVerifiedAt === null ? [] : [Date.parse(lastVerifiedAt)],
  );
  if (times.length < shards.length)
    return ['none', `${formatCount(shards.length - times.length, 'shard')} not verified`];
  const first = times.reduce((least, time) => Math.min(least, time));
  return [`${formatAge(nowMs - first)} ago`, 'every shard was verified since'];
}
