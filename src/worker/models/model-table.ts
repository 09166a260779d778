import { invalidInput, VramError } from '../../base/index.js';
import { notFound } from '../common/index.js';
import type { Generation } from './generation.js';

/** The generations of a name. */
export interface ModelEntry {
  /** The generation that serves; null while the first one is being loaded, or after it failed. */
  readonly current: Generation | null;
  /** The one being loaded, or the last one that failed. */
  readonly next: Generation | null;
}

interface Entry {
  current: Generation | null;
  next: Generation | null;
  lastNumber: number;
}

/** Models by name. A name serves one generation at a time; a new one replaces it only once verified. */
export class ModelTable {
  readonly #entries = new Map<string, Entry>();
  /** Replaced generations that are still in use. */
  readonly #leaving = new Set<Generation>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** In the order in which the names were first committed. */
  list(): readonly ModelEntry[] {
    return [...this.#entries.values()];
  }

  /** All generations that are resident or being loaded, replaced ones too. */
  generations(): readonly Generation[] {
    const all = [...this.#entries.values()].flatMap(({ current, next }) => [current, next]);
    return [...all, ...this.#leaving].filter((one): one is Generation => one !== null);
  }

  find(name: string): ModelEntry {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry;
  }

  /** The serving generation. Errors: NOT_FOUND, STOPPED while there is none yet. */
  serving(name: string): Generation {
    const { current, next } = this.find(name);
    if (current !== null) return current;
    const what = next?.state === 'failed' ? 'could not be loaded' : 'is still being loaded';
    throw new VramError('STOPPED', `the model ${JSON.stringify(name)} ${what}`);
  }

  /** The generation of a live shard. */
  ofModelRef(modelRef: string | null): Generation | null {
    return this.generations().find((one) => one.modelRef === modelRef) ?? null;
  }

  /** The number of the next generation of a name. Errors: INVALID_INPUT while one is being loaded, or for too many names. */
  nextNumber(name: string): number {
    const entry = this.#entries.get(name);
    if (entry === undefined && this.#entries.size >= this.#most) {
      throw invalidInput('name', `would be one of more than ${this.#most} models; delete others first`);
    }
    if (entry?.next?.state === 'loading') {
      throw invalidInput('name', 'is being loaded already; wait for that, or delete it');
    }
    return (entry?.lastNumber ?? 0) + 1;
  }

  /** A generation begins to load. */
  begin(generation: Generation): void {
    const entry = this.#entries.get(generation.name) ?? { current: null, next: null, lastNumber: 0 };
    entry.next = generation;
    entry.lastNumber = generation.number;
    this.#entries.set(generation.name, entry);
  }

  /** A loaded generation starts to serve. Returns the one that it replaced, which the caller must release. */
  promote(generation: Generation): Generation | null {
    const entry = this.#entries.get(generation.name);
    if (entry?.next !== generation)
      throw new VramError('ABORTED', 'the model was deleted while it was loaded');
    const replaced = entry.current;
    generation.state = 'resident';
    entry.current = generation;
    entry.next = null;
    if (replaced !== null) this.#leave(replaced);
    return replaced;
  }

  /** Removes a name. The caller must end and release its generations. */
  remove(name: string): ModelEntry {
    const entry = this.find(name);
    this.#entries.delete(name);
    for (const one of [entry.current, entry.next])
      if (one !== null && one.state !== 'failed') this.#leave(one);
    return entry;
  }

  /** A generation was removed from device memory. */
  gone(generation: Generation): void {
    this.#leaving.delete(generation);
  }

  #leave(generation: Generation): void {
    if (generation.state === 'resident') generation.state = 'releasing';
    this.#leaving.add(generation);
  }
}
