// The operations on the sealed model, and how the page shows them.
import type { RuntimeClient } from './client.js';
import type { Controls } from './controls.js';
import type { BlockRange, ModelFacts, Reading, TensorPlace, Verdict } from './protocol.js';
import { damageText } from './view/damage-text.js';
import { byId, element, setText } from './view/dom.js';
import { failureText, sentence } from './view/failure-text.js';
import { flipText } from './view/flip-text.js';
import { bytes, cameBack, count, duration, rate } from './view/format.js';
import type { MapView } from './view/map-view.js';
import type { Story } from './view/story.js';
import type { Times } from './view/times.js';

const AUDIT_FILE = 'vram-residency-audit.tar';
/** The browser has begun to save by then. */
const LINK_LIFE_MS = 60_000;
/** For an idle worker to answer. */
const ANSWER_MS = 5_000;
const BEGIN_AGAIN = 'Choose a model to begin again.';

export interface Views {
  readonly controls: Controls;
  readonly story: Story;
  readonly map: MapView;
  readonly times: Times;
}

export class Operations {
  readonly #client: RuntimeClient;
  readonly #controls: Controls;
  readonly #story: Story;
  readonly #map: MapView;
  readonly #times: Times;
  #tensors: readonly TensorPlace[] = [];
  /** Blocks with flipped bits that nothing has noticed yet. */
  #flipped: readonly number[] = [];
  #isLost = false;
  /** The damaged shard is in quarantine. */
  #caught = false;

  constructor(client: RuntimeClient, { controls, story, map, times }: Views) {
    this.#client = client;
    this.#controls = controls;
    this.#story = story;
    this.#map = map;
    this.#times = times;
  }

  /** A model has been sealed. */
  begin(model: ModelFacts): void {
    this.#flipped = [];
    this.#isLost = false;
    this.#caught = false;
    this.#tensors = model.tensors;
    this.#controls.setLive(true);
    this.#map.show(model);
  }

  /** Runs one operation at a time. Errors are shown, never swallowed. */
  exclusively(what: string, work: () => Promise<void>): void {
    if (this.#controls.busy) return;
    this.#controls.setBusy(true);
    this.#story.working(what);
    work()
      .catch((error: unknown) => {
        // A failure caused by the loss would hide the loss itself, which is shown already.
        if (!this.#isLost) this.#story.tell('bad', 'That did not work', failureText(error));
      })
      .finally(() => {
        this.#map.rest();
        this.#story.rested();
        setText(byId('map-live', HTMLElement), '');
        this.#controls.setBusy(false);
      });
  }

  verify(): void {
    this.exclusively('Hashing every block where it lies…', async () => {
      const verdict = await this.#swept(() => this.#client.call('verify'));
      this.#times.add('Verify in place', verdict, cameBack(verdict.readbackBytes));
      this.#showVerdict(verdict);
    });
  }

  flip(bits: number): void {
    this.exclusively('Flipping…', async () => {
      const flips = await this.#client.call('flip', bits, seedOfAddress());
      this.#flipped = [...new Set([...this.#flipped, ...flips.map(({ block }) => block)])];
      this.#map.update({ flipped: this.#flipped });
      const title = bits === 1 ? 'One bit was flipped' : `${count(bits, 'bit')} were flipped`;
      this.#story.tell('calm', title, flipText(flips));
    });
  }

  heal(): void {
    this.exclusively('Reading the damaged blocks again, and verifying everything…', async () => {
      const healed = await this.#swept(() => this.#client.call('heal'));
      this.#sound();
      this.#times.add('Heal and verify', healed, count(healed.blocks, 'block'));
      this.#story.tell(
        'good',
        healed.blocks === 0 ? 'Nothing was damaged' : `Healed ${count(healed.blocks, 'block')}`,
        'Only damaged blocks were written again, from the file. ' +
          `The whole model was verified after that: ${duration(healed.ms)} in all.`,
      );
    });
  }

  release(): void {
    this.exclusively('Overwriting the memory with zeros…', async () => {
      const { ms, bytes: freed, wiped } = await this.#client.call('release');
      this.#gone();
      this.#times.add(wiped ? 'Wipe and release' : 'Release', { ms, bytes: freed }, '', 'other');
      if (this.#isLost) return;
      const how = wiped ? 'overwritten with zeros and freed' : 'freed without being overwritten first';
      this.#story.tell(
        wiped ? 'calm' : 'bad',
        'Released',
        `${bytes(freed)} were ${how}. The log keeps the record of what was there.`,
      );
    });
  }

  compare(): void {
    this.exclusively('Checking the same bytes in three ways…', async () => {
      const comparison = await this.#swept(() => this.#client.call('compare'));
      this.#sound();
      this.#times.addComparison(comparison);
      const { inPlace, readBack } = comparison;
      this.#story.tell(
        'good',
        'The same answer, in two ways',
        `In place ${duration(inPlace.ms)}${brought(inPlace)}; ` +
          `by reading back ${duration(readBack.ms)}${brought(readBack)}.`,
      );
    });
  }

  download(): void {
    this.exclusively('Signing the log…', async () => {
      const address = URL.createObjectURL(await this.#client.call('auditTar'));
      const link = element('a', '');
      link.href = address;
      link.download = AUDIT_FILE;
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), LINK_LIFE_MS);
    });
  }

  /** The engine has read the line. */
  read({ ms, verifiedMs }: Reading): void {
    if (verifiedMs !== null) this.#sound();
    const how = verifiedMs === null ? 'unchecked' : 'verified first';
    this.#times.add('Read the line', { ms, bytes: 0 }, how, 'other');
  }

  /** The library refused, or a verification found damage. */
  refused(message: string, damaged: readonly BlockRange[]): void {
    const blocks = damaged.reduce((sum, range) => sum + range.blocks, 0);
    this.#flipped = [];
    this.#caught = true;
    if (damaged.length > 0) this.#map.update({ tone: 'quarantined', damaged, flipped: [] });
    const title =
      blocks === 0
        ? 'Refused: the model is in quarantine'
        : `Caught: ${count(blocks, 'block')} ${blocks === 1 ? 'is' : 'are'} not what was sealed`;
    const where = blocks === 0 ? sentence(message) : damageText(damaged, this.#tensors);
    this.#story.alarm(title, `${where} Nothing may use the model until it is healed.`);
  }

  /** The device or the worker is gone, and the seal with it. */
  lost(reason: string, advice = BEGIN_AGAIN): void {
    this.#isLost = true;
    this.#gone();
    this.#story.alarm('The seal is void', `${reason} ${advice}`);
  }

  /** The browser had put the page aside, with its worker, and shows it again: an old verdict says nothing now. */
  returned(): void {
    if (!this.#controls.live) return;
    this.exclusively('Asking the worker for its seal…', async () => {
      if (!(await this.#client.isAlive(ANSWER_MS))) {
        this.lost(
          'The browser ended the worker of this page while it was put aside.',
          'Reload the page to begin again.',
        );
        return;
      }
      // The device may be lost by now, and damage that was found is still there.
      if (this.#isLost || this.#caught) return;
      this.#map.update({ tone: 'sealed' });
      this.#story.tell(
        'calm',
        'Still sealed, not checked',
        'This page was put aside and is shown again, with its seal. Nothing was checked meanwhile: verify now.',
      );
    });
  }

  /** Shows a check while it runs, up to its end. */
  async #swept<T>(check: () => Promise<T>): Promise<T> {
    this.#map.sweep();
    const answer = await check();
    this.#map.hashed(1);
    await this.#map.arrive();
    return answer;
  }

  #showVerdict({ verified, damaged, message, ms, bytes: size, readbackBytes }: Verdict): void {
    if (!verified) {
      this.refused(message, damaged);
      return;
    }
    this.#sound();
    this.#story.tell(
      'good',
      'Every block is as it was sealed',
      `${bytes(size)} hashed where they lie in ${duration(ms)}, ${rate(size, ms)}. ` +
        (readbackBytes === null ? 'They lie in main memory.' : `${cameBack(readbackBytes)} from the device.`),
    );
  }

  #sound(): void {
    this.#flipped = [];
    this.#caught = false;
    this.#map.update({ tone: 'verified', damaged: [], flipped: [] });
  }

  #gone(): void {
    this.#flipped = [];
    this.#map.update({ tone: 'released', damaged: [], flipped: [] });
    this.#controls.setLive(false);
  }
}

/** `, with 68 bytes brought back`. */
function brought({ readbackBytes }: Verdict): string {
  return readbackBytes === null ? '' : `, with ${bytes(readbackBytes)} brought back`;
}

/** `?seed=9` makes every drill of the page flip the same bits: for tests and for showing the same thing twice. */
function seedOfAddress(): number | null {
  const seed = new URLSearchParams(location.search).get('seed');
  return seed !== null && /^\d{1,9}$/.test(seed) ? Number(seed) : null;
}
