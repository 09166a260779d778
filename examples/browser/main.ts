// The page: what a visitor does, what the worker answers, and what is shown of it.
import { Refusal, RuntimeClient } from './client.js';
import type { BlockRange, Flip, ModelChoice, Notice, Opened, Verdict } from './protocol.js';
import { damageText } from './view/damage-text.js';
import { byId, element, onClick, setText } from './view/dom.js';
import { showFacts } from './view/facts.js';
import { bytes, count, duration, rate } from './view/format.js';
import { LogView } from './view/log-view.js';
import { MapView } from './view/map-view.js';
import { ReadingView } from './view/reading.js';
import { StartView } from './view/start.js';
import { Story } from './view/story.js';
import { Times } from './view/times.js';

const MANY = 64;
const AUDIT_FILE = 'vram-residency-audit.tar';

const client = new RuntimeClient(
  new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'vram-residency' }),
  onNotice,
);
const story = new Story();
const map = new MapView();
const times = new Times();
const log = new LogView();
const start = new StartView(open);
const reading = new ReadingView(client, {
  exclusively,
  onRefused: showDamage,
  onRead: ({ ms, verifiedMs }) => {
    if (verifiedMs !== null) {
      flipped = [];
      map.update({ tone: 'verified', flipped: [], damaged: [] });
    }
    times.add(
      'Read the line',
      { ms, bytes: 0 },
      verifiedMs === null ? 'unchecked' : 'verified first',
      'other',
    );
  },
});

let opened: Opened | null = null;
/** Blocks with flipped bits that nothing has noticed yet. */
let flipped: readonly number[] = [];
let busy = false;

function onNotice(notice: Notice): void {
  switch (notice.notice) {
    case 'progress':
      showProgress(notice.phase, notice.bytes, notice.totalBytes);
      break;
    case 'sentence':
      log.sentence(notice.sentence);
      break;
    case 'records':
      log.records(notice.records);
      break;
    case 'lost':
      showLoss(notice.reason);
  }
}

function showProgress(phase: string, done: number, total: number): void {
  times.progress(phase, done);
  if (opened === null) {
    start.progress(phase, done, total);
    return;
  }
  if (phase !== 'load') map.sweptTo(done / total);
  setText(byId('map-live', HTMLElement), `${bytes(done)} of ${bytes(total)}`);
}

function showLoss(reason: string): void {
  if (opened === null) {
    start.failed(reason);
    return;
  }
  flipped = [];
  map.update({ tone: 'released', flipped: [], damaged: [] });
  setLive(false);
  story.alarm('The seal is void', `${reason} Choose a model to begin again.`);
}

/** One thing at a time. What goes wrong is said, never swallowed. */
function exclusively(what: string, work: () => Promise<void>): void {
  if (busy) return;
  setBusy(true);
  story.working(what);
  work()
    .catch((error: unknown) => {
      const code = error instanceof Refusal && error.code !== null ? ` (${error.code})` : '';
      story.tell('bad', 'That did not work', `${sentence(messageOf(error))}${code}`);
    })
    .finally(() => {
      map.rest();
      story.rested();
      setText(byId('map-live', HTMLElement), '');
      setBusy(false);
    });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function setBusy(now: boolean): void {
  busy = now;
  for (const button of document.querySelectorAll<HTMLButtonElement>('#model button, #another')) {
    button.setAttribute('aria-disabled', String(now || button.dataset['dead'] !== undefined));
  }
}

/** Without a live seal there is nothing to do with it. */
function setLive(live: boolean): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>(
    '#actions button, #reading button, #compare',
  )) {
    if (live) delete button.dataset['dead'];
    else button.dataset['dead'] = '';
  }
  setBusy(busy);
}

function open(choice: ModelChoice): void {
  if (busy) return;
  setBusy(true);
  opened = null;
  log.clear();
  times.clear();
  start.opening();
  client
    .call('open', choice)
    .then((answer) => {
      opened = answer;
      showModel(answer);
    })
    .catch((error: unknown) => start.failed(sentence(messageOf(error))))
    .finally(() => setBusy(false));
}

function showModel({ device, model, sealed }: Opened): void {
  flipped = [];
  start.hide();
  byId('model', HTMLElement).hidden = false;
  byId('another', HTMLButtonElement).hidden = false;
  // A software adapter computes on the processor, in main memory.
  const where = device.residency === 'host' ? 'main memory, for there is no GPU here' : 'GPU buffers';
  story.tell(
    'calm',
    'Sealed',
    `${count(model.blocks, 'block')} of 4,096 bytes lie in ${where}. They were hashed there, and are signed. ` +
      'Verify them, or flip a bit first.',
  );
  story.focus();
  setLive(true);
  log.toEnd();
  map.show(model);
  // Writing on the sheet takes a frame of its own.
  requestAnimationFrame(() => reading.show(model));
  times.add('Load, hash and seal', sealed);
  showFacts({ device, model, sealed });
}

function verify(): void {
  exclusively('Hashing every block where it lies…', async () => {
    map.sweep();
    const verdict = await client.call('verify');
    map.sweptTo(1);
    await map.arrive();
    times.add('Verify in place', verdict, `${bytes(verdict.readbackBytes)} came back`);
    showVerdict(verdict);
  });
}

function showVerdict({ verified, damaged, message, ms, bytes: size, readbackBytes }: Verdict): void {
  if (!verified) {
    showDamage(message, damaged);
    return;
  }
  flipped = [];
  map.update({ tone: 'verified', damaged: [], flipped: [] });
  story.tell(
    'good',
    'Every block is as it was sealed',
    `${bytes(size)} hashed where they lie in ${duration(ms)}, ${rate(size, ms)}. ` +
      `${bytes(readbackBytes)} came back from the device.`,
  );
}

function showDamage(message: string, damaged: readonly BlockRange[]): void {
  const blocks = damaged.reduce((sum, range) => sum + range.blocks, 0);
  flipped = [];
  if (damaged.length > 0) map.update({ tone: 'quarantined', damaged, flipped: [] });
  const title =
    blocks === 0
      ? 'Refused: the model is in quarantine'
      : `Caught: ${count(blocks, 'block')} ${blocks === 1 ? 'is' : 'are'} not what was sealed`;
  const where = blocks === 0 ? sentence(message) : damageText(damaged, opened?.model.tensors ?? []);
  story.alarm(title, `${where} Nothing may use the model until it is healed.`);
}

/** The library's messages begin small, as they follow a code. */
function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}

function flip(bits: number): void {
  exclusively('Flipping…', async () => {
    const flips = await client.call('flip', bits, seedOfAddress());
    flipped = [...new Set([...flipped, ...flips.map(({ block }) => block)])];
    map.update({ flipped });
    story.tell(
      'calm',
      bits === 1 ? 'One bit was flipped' : `${count(bits, 'bit')} were flipped`,
      whereFlipped(flips),
    );
  });
}

function whereFlipped(flips: readonly Flip[]): string {
  const [first] = flips;
  if (flips.length !== 1 || first === undefined) {
    const blocks = new Set(flips.map(({ block }) => block)).size;
    return `They lie in ${count(blocks, 'block')}. Nothing has noticed: the model still answers.`;
  }
  const tensor = first.tensor === null ? '' : ` of ${first.tensor}`;
  const [byte, block] = [first.byte.toLocaleString('en'), first.block.toLocaleString('en')];
  return `Bit ${first.bit} of byte ${byte}, in block ${block}${tensor}. Nothing has noticed: the model still answers.`;
}

/** `?seed=9` makes every drill of the page flip the same bits: for tests and for showing the same thing twice. */
function seedOfAddress(): number | null {
  const seed = new URLSearchParams(location.search).get('seed');
  return seed !== null && /^\d{1,9}$/.test(seed) ? Number(seed) : null;
}

function heal(): void {
  exclusively('Reading the damaged blocks again, and verifying everything…', async () => {
    map.sweep();
    const healed = await client.call('heal');
    map.sweptTo(1);
    await map.arrive();
    flipped = [];
    map.update({ tone: 'verified', damaged: [], flipped: [] });
    times.add('Heal and verify', healed, count(healed.blocks, 'block'));
    const what = healed.blocks === 0 ? 'Nothing was damaged' : `Healed ${count(healed.blocks, 'block')}`;
    story.tell(
      'good',
      what,
      'Only damaged blocks were written again, from the file. ' +
        `The whole model was verified after that: ${duration(healed.ms)} in all.`,
    );
  });
}

function release(): void {
  exclusively('Overwriting the memory with zeros…', async () => {
    const { ms, bytes: freed } = await client.call('release');
    flipped = [];
    map.update({ tone: 'released', damaged: [], flipped: [] });
    setLive(false);
    times.add('Wipe and release', { ms, bytes: freed }, '', 'other');
    story.tell(
      'calm',
      'Released',
      `${bytes(freed)} were overwritten with zeros and given back. The log goes on to tell what lay there.`,
    );
  });
}

function compare(): void {
  exclusively('Checking the same bytes in three ways…', async () => {
    map.sweep();
    const comparison = await client.call('compare');
    map.sweptTo(1);
    await map.arrive();
    map.update({ tone: 'verified' });
    times.addComparison(comparison);
    const { inPlace, readBack } = comparison;
    story.tell(
      'good',
      'The same answer, in two ways',
      `In place ${duration(inPlace.ms)}, with ${bytes(inPlace.readbackBytes)} brought back; ` +
        `by reading back ${duration(readBack.ms)}, with ${bytes(readBack.readbackBytes)}.`,
    );
  });
}

function download(): void {
  exclusively('Signing the log…', async () => {
    const address = URL.createObjectURL(await client.call('auditTar'));
    const link = element('a', '');
    link.href = address;
    link.download = AUDIT_FILE;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  });
}

const actions: Readonly<Record<string, () => void>> = {
  verify,
  'flip-one': () => flip(1),
  'flip-many': () => flip(MANY),
  heal,
  release,
  compare,
  download,
  another: () => start.show(),
};
for (const [id, action] of Object.entries(actions)) onClick(id, action);
