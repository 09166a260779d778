// The page: its parts, the worker's messages to them, and the opening of a model.
import { RuntimeClient } from './client.js';
import { Controls } from './controls.js';
import { Operations } from './operations.js';
import type { ModelChoice, Notice, Opened } from './protocol.js';
import { byId, onClick, setText } from './view/dom.js';
import { showFacts } from './view/facts.js';
import { bytes, count } from './view/format.js';
import { LogView } from './view/log-view.js';
import { MapView } from './view/map-view.js';
import { ReadingView } from './view/reading.js';
import { StartView } from './view/start.js';
import { Story } from './view/story.js';
import { Times } from './view/times.js';

const MANY = 64;

const client = new RuntimeClient(
  new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'vram-residency' }),
  onNotice,
);
const controls = new Controls();
const story = new Story();
const map = new MapView();
const times = new Times();
const log = new LogView();
const start = new StartView(open);
const operations = new Operations(client, { controls, story, map, times });
/** Created with the first model that reads text; its sheet is hidden before. */
let reading: ReadingView | null = null;
let opened = false;

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
      if (opened) operations.lost(notice.reason);
      else start.lost(notice.reason);
  }
}

function showProgress(phase: string, done: number, total: number): void {
  times.progress(phase, done);
  if (!opened) {
    start.progress(phase, done, total);
    return;
  }
  map.hashed(done / total);
  setText(byId('map-live', HTMLElement), `${bytes(done)} of ${bytes(total)}`);
}

function open(choice: ModelChoice): void {
  if (controls.busy) return;
  controls.setBusy(true);
  opened = false;
  log.clear();
  times.clear();
  start.opening();
  client
    .call('open', choice)
    .then(showModel)
    .catch((error: unknown) => start.failed(error, choice))
    .finally(() => controls.setBusy(false));
}

function showModel(answer: Opened): void {
  const { device, model, sealed } = answer;
  opened = true;
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
  log.toEnd();
  operations.begin(model);
  byId('reading', HTMLElement).hidden = !model.reads;
  // The sheet is first drawn in a separate task, after the frame that shows the model.
  if (model.reads) requestAnimationFrame(() => setTimeout(showReading));
  times.add('Load, hash and seal', sealed);
  showFacts(answer);
}

function showReading(): void {
  reading ??= new ReadingView(client, {
    exclusively: (what, work) => operations.exclusively(what, work),
    onRefused: (message, damaged) => operations.refused(message, damaged),
    onRead: (read) => operations.read(read),
  });
  reading.begin();
}

const actions: Readonly<Record<string, () => void>> = {
  verify: () => operations.verify(),
  'flip-one': () => operations.flip(1),
  'flip-many': () => operations.flip(MANY),
  heal: () => operations.heal(),
  release: () => operations.release(),
  compare: () => operations.compare(),
  download: () => operations.download(),
  another: () => start.show(),
};
for (const [id, action] of Object.entries(actions)) onClick(id, action);
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) operations.returned();
});
// From here on the page reacts to the visitor.
performance.mark('interactive');
