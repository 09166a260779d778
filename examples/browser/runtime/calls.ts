// The calls of the page, over the one open model.
import { isVramError } from 'vram-residency/browser';
import type { Failure, ModelChoice, Notice, Runtime } from '../protocol.js';
import { BrokenModel } from './broken-model.js';
import { type LoadedModel, loadModel } from './models.js';
import type { LineReader } from './reader.js';
import { rangesOf, Session } from './session.js';

let session: Session | null = null;
let model: LoadedModel | null = null;
let reader: LineReader | null = null;

const tell = (notice: Notice): void => postMessage(notice);

function opened(): Session {
  if (session === null) throw new Error('no model is open');
  return session;
}

async function closeAll(): Promise<void> {
  const [oldReader, oldSession] = [reader, session];
  reader = null;
  session = null;
  model = null;
  await oldReader?.close();
  await oldSession?.close();
}

export const runtime: Runtime = {
  async open(choice: ModelChoice) {
    await closeAll();
    session = await Session.open(async (manager, device, onProgress) => {
      model = await loadModel(choice, manager, device, onProgress);
      return model;
    }, tell);
    return session.opened;
  },
  verify: () => opened().verify(),
  flip: (bits, seed) => opened().flip(bits, seed),
  heal: () => opened().heal(),
  release: () => opened().release(),
  compare: () => opened().compare(),
  async read(picture, verifyFirst) {
    reader ??= await openReader();
    return await reader.read(picture, verifyFirst);
  },
  auditTar: () => opened().account.tar(),
  answer: async () => undefined,
};

async function openReader(): Promise<LineReader> {
  const { device } = opened();
  const sealed = model?.sealed ?? null;
  if (sealed === null || device === null) throw new Error('this model reads no text');
  const [{ LineReader: Reader }, characters] = await Promise.all([
    import('./reader.js'),
    fetch(new URL('models/characters.txt', import.meta.url)),
  ]);
  if (!characters.ok) throw new Error(`the character list could not be downloaded: ${characters.status}`);
  return await Reader.open(sealed, device, await characters.text());
}

export function failureOf(error: unknown): Failure {
  const broken = error instanceof BrokenModel;
  if (isVramError(error)) {
    const damaged = rangesOf(error.report?.damaged ?? []);
    return { code: error.code, message: error.message, broken, damaged };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: null, message, broken, damaged: [] };
}
