import { isVramError } from '../../../src/base/errors.js';
import type { Figure } from '../runner/report.js';
import { Failure, type StepContext } from './context.js';
import { Lending, openManager, refused } from './lending.js';
import { medianMs, rounded } from './measuring.js';

const ALLOCATED_BYTES = [2 ** 21, 2 ** 28, 2 ** 30];
const REPEATS = 5;
const READ_ONLY = 1;

/**
 * A shard lent to another process, which reads the sealed bytes, cannot store to them, and is notified of damage. After
 * healing the shard is lent again.
 */
export async function sharing(context: StepContext): Promise<void> {
  const manager = await openManager(context);
  try {
    const lending = await Lending.open(context, manager, 's');
    try {
      await store(context, lending);
      await damage(context, lending);
      await rights(context, lending);
    } finally {
      await lending.close();
    }
  } finally {
    await manager.close();
  }
  await allocations(context);
}

/** A borrower's store. It voids the borrower's context and changes nothing here. */
async function store(context: StepContext, lending: Lending): Promise<void> {
  const borrower = await lending.borrow();
  await lending.requireSame(borrower, 'before its store');
  context.figure('readsEqual', true);
  const outcome = (await borrower.order('store')).text('outcome');
  context.figure('store', outcome);
  await borrower.kill();
  const ownerUnharmed = await isSound(lending);
  context.figure('ownerUnharmed', ownerUnharmed);
  if (!ownerUnharmed) throw new Failure("a borrower's store changed the owner's sealed memory");
  if (outcome === 'CUDA_SUCCESS') throw new Failure("a borrower's store to lent memory was not refused");
}

async function isSound({ manager, shard }: Lending): Promise<boolean> {
  try {
    return (await manager.verify(shard)).verified;
  } catch (error) {
    if (isVramError(error, 'INTEGRITY_VIOLATION')) return false;
    throw error;
  }
}

/** A flipped bit: the lease is revoked, the shard is healed, and the next borrower reads it whole. */
async function damage(context: StepContext, lending: Lending): Promise<void> {
  const { manager, shard, source } = lending;
  const borrower = await lending.borrow();
  await manager.drill(shard, { seed: 1 });
  const { code } = await refused(manager.verify(shard), 'a verification of damaged bytes');
  if (code !== 'INTEGRITY_VIOLATION') throw new Failure(`a verification of damaged bytes ended with ${code}`);
  const heard = (await borrower.order('hear 10')).text('outcome');
  context.figure('heard', heard);
  if (heard !== 'damaged') throw new Failure(`the borrower of a damaged shard heard "${heard}"`);
  await borrower.order('close');
  await manager.heal(shard, source);
  const next = await lending.borrow();
  await lending.requireSame(next, 'after healing');
  context.figure('lentAgain', true);
  await next.order('close');
  await next.kill();
}

/** What the driver grants a borrower that requests more rights. Recorded only, because the driver alone decides it. */
async function rights(context: StepContext, lending: Lending): Promise<void> {
  const borrower = await lending.borrow();
  const cuIpcGetMemHandle = (await borrower.order('ipc')).text('outcome');
  const asked = await borrower.order('ask-write');
  context.figure('rights', {
    cuIpcGetMemHandle,
    writeAccess: asked.text('outcome'),
    writable: asked.number('access') !== READ_ONLY,
  });
  await borrower.kill();
}

/** The extra time that exportable memory takes to allocate, map and release. */
async function allocations(context: StepContext): Promise<void> {
  const device = await context.backend().open(context.setting.device);
  const rows: Figure[] = [];
  try {
    for (const bytes of new Set(ALLOCATED_BYTES.map((size) => context.affordable(size)))) {
      const time = async (share: boolean): Promise<number> =>
        rounded(
          await medianMs(REPEATS, async () => {
            const region = await device.allocate(bytes, { share });
            await region.release();
          }),
        );
      rows.push({ bytes, plainMs: await time(false), sharedMs: await time(true) });
      context.figure('allocations', [...rows]);
    }
  } finally {
    await device.close();
  }
}
