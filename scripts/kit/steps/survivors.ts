import { join } from 'node:path';
import { execPath } from 'node:process';
import type { VramManager } from '../../../src/index.js';
import { Failure, kitPath, type StepContext } from './context.js';
import { borrowFrom, freeBytes, Lending, MODEL, openManager, refused, until } from './lending.js';
import { LineChild } from './line-child.js';
import { writeLinear } from './linear-model.js';

/** A borrower that does not release its memory is given up after this. */
const RELEASE_LIMIT_MS = 1000;
/** How far the device's free memory may change through other processes while the step runs. */
const SLACK_BYTES = 2 ** 26;
/** Weights of 64 MiB: more than the slack would hide is lost with them and the context of one process. */
const HIDDEN = 4096;
const EMULATED_HIDDEN = 256;

/** Kills borrower and owner, and releases mapped memory: what happens to the memory, counted before and after. */
export async function survivors(context: StepContext): Promise<void> {
  const manager = await openManager(context);
  try {
    await borrowerKilled(context, manager);
    await releasedUnderMapping(context, manager);
    await ownerKilled(context, manager);
  } finally {
    await manager.close();
  }
}

async function borrowerKilled(context: StepContext, manager: VramManager): Promise<void> {
  const before = await freeBytes(manager);
  const lending = await Lending.open(context, manager, 'k');
  try {
    const [killed, other] = [await lending.borrow(), await lending.borrow()];
    const lent = await freeBytes(manager);
    await killed.kill();
    await until(() => lending.server.leases().length === 1, 'the lease of a killed borrower ends');
    await lending.requireSame(other, 'after another borrower was killed');
    await other.order('close');
    await other.kill();
    const { wiped } = await manager.release(lending.shard);
    if (!wiped) throw new Failure('a shard whose borrowers are gone was released unwiped');
    await returned(manager, before, 'a borrower was killed');
    context.figure('borrowerKilled', { before, lent, after: await freeBytes(manager) });
  } finally {
    await lending.close();
  }
}

async function releasedUnderMapping(context: StepContext, manager: VramManager): Promise<void> {
  const before = await freeBytes(manager);
  const lending = await Lending.open(context, manager, 'r', RELEASE_LIMIT_MS);
  try {
    const holder = await lending.borrow();
    const { code, message } = await refused(manager.release(lending.shard), 'a release under a mapping');
    if (code !== 'RELEASE_FAILED' || !message.includes(String(holder.pid))) {
      throw new Failure(`a release under a mapping ended with ${code}, and does not name the holder`);
    }
    const { orphanedBytes } = manager.status();
    if (orphanedBytes < lending.source.byteLength)
      throw new Failure('memory that is held is not counted as orphaned');
    await lending.requireSame(holder, 'after the owner let go');
    const held = await freeBytes(manager);
    await holder.kill();
    await until(
      () => manager.status().orphanedBytes === 0,
      'the orphaned bytes of a process that is gone are counted off',
    );
    await returned(manager, before, 'the last holder is gone');
    context.figure('releasedUnderMapping', { before, held, orphanedBytes, after: await freeBytes(manager) });
  } finally {
    await lending.close();
  }
}

/** The owner is `vram-residency lend`, as a user runs it; this process only counts. */
async function ownerKilled(context: StepContext, manager: VramManager): Promise<void> {
  const { workFolder, emulated } = context.setting;
  const model = join(workFolder, 'owned.safetensors');
  const socket = join(workFolder, 'o');
  writeLinear(model, emulated ? EMULATED_HIDDEN : HIDDEN);
  const before = await freeBytes(manager);
  const owner = new LineChild('vram-residency lend', execPath, [
    ...[kitPath('../dist/cli/main.js'), 'lend', `${MODEL}=${model}`, '--socket', socket],
    ...['--device', context.deviceName(), '--policy', context.policy(), '--json'],
  ]);
  const borrowers: LineChild[] = [];
  try {
    // The first line of its document means that it listens.
    await owner.line();
    for (let k = 0; k < 2; k++) {
      const borrower = borrowFrom(socket);
      borrowers.push(borrower);
      await borrower.answer();
    }
    const [first, second] = borrowers;
    if (first === undefined || second === undefined) throw new Failure('there are no borrowers');
    const sealed = (await first.order('read')).text('sha256');
    const lent = await freeBytes(manager);
    await owner.kill();
    const heard = (await first.order('hear 10')).text('outcome');
    const same = async (borrower: LineChild): Promise<boolean> =>
      (await borrower.order('read')).text('sha256') === sealed;
    const bytesSurvive = await same(first);
    const ownerGone = await freeBytes(manager);
    await first.kill();
    const thirdUnharmed = await same(second);
    await second.kill();
    await returned(manager, before, 'the last borrower of a killed owner is gone');
    const after = await freeBytes(manager);
    context.figure('ownerKilled', { before, lent, heard, bytesSurvive, ownerGone, thirdUnharmed, after });
    if (heard !== 'DISCONNECTED') throw new Failure(`a borrower whose owner was killed heard "${heard}"`);
    if (!bytesSurvive || !thirdUnharmed)
      throw new Failure('memory changed under its borrowers when its owner was killed');
  } finally {
    for (const child of [...borrowers, owner]) await child.kill();
  }
}

async function returned(manager: VramManager, before: number, when: string): Promise<void> {
  await until(
    async () => (await freeBytes(manager)) >= before - SLACK_BYTES,
    `memory comes back once ${when}`,
  );
}
