/** What the kit does, in order: the most valuable first, so that a run that is cut short has the most results. */
export interface StepPlan {
  readonly name: string;
  /** What a pass shows, for human readers. */
  readonly shows: string;
  readonly quick: boolean;
  /** The step is killed after this. Milliseconds. */
  readonly limitMs: number;
  /** What sweeps inside the step aim to take on one H100, with the whole time at hand. Milliseconds. */
  readonly budgetMs: number;
  /** Figures that a passed line must carry: paths into `figures`. Without one of them the step has failed. */
  readonly figures: readonly string[];
  /** The same, but only on real hardware: the test driver has no clocks and no meaningful speed. */
  readonly hardwareFigures?: readonly string[];
}

const SECOND = 1000;

export const PLAN: readonly StepPlan[] = [
  {
    name: 'environment',
    shows: 'which GPU, driver, clocks, C library and machine this is, and whether they will do',
    quick: true,
    limitMs: 30 * SECOND,
    budgetMs: 5 * SECOND,
    figures: [
      'gpu.name',
      'gpu.residency',
      'gpu.computeCapability',
      'driver.cuda',
      'machine.glibc',
      'machine.cores',
    ],
    hardwareFigures: ['gpu.nvidiaSmiName', 'gpu.multiprocessors', 'driver.version'],
  },
  {
    name: 'selftest',
    shows: 'known answers, a first throughput, and the read-only probe, as the command line tells them',
    quick: true,
    limitMs: 60 * SECOND,
    budgetMs: 10 * SECOND,
    figures: ['knownAnswers', 'immutability', 'storeProbe', 'verifyGBps'],
  },
  {
    name: 'contract',
    shows: 'the contract suite that every backend passes',
    quick: true,
    limitMs: 90 * SECOND,
    budgetMs: 40 * SECOND,
    figures: ['total', 'passed', 'skipped'],
  },
  {
    name: 'drill',
    shows: 'flipped bits are found, located to their blocks, and healed',
    quick: true,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['drills'],
  },
  {
    name: 'verify-sweep',
    shows: 'how fast memory is verified in place, and against what',
    quick: true,
    limitMs: 80 * SECOND,
    budgetMs: 30 * SECOND,
    figures: ['sizes', 'fixedMs', 'GBps', 'readback.ratio', 'copy.GBps', 'sum.GBps'],
    hardwareFigures: ['predicted.GBps', 'predicted.ratio'],
  },
  {
    name: 'variants',
    shows: 'which form of the leaf kernel is fastest here',
    quick: true,
    limitMs: 60 * SECOND,
    budgetMs: 15 * SECOND,
    figures: ['variants', 'fastest.variant', 'fastest.againstShipped'],
  },
  {
    name: 'readonly-probe',
    shows:
      "whether the driver grants read-only mappings, whether a store faults, and that the owner's data is unharmed",
    quick: false,
    limitMs: 40 * SECOND,
    budgetMs: 10 * SECOND,
    figures: ['immutability', 'outcome', 'ownerUnharmed'],
  },
  {
    name: 'groups',
    shows:
      'the CUDA test groups: context, allocation, memory operations, bounds, memory information, resources',
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['total', 'passed', 'skipped'],
  },
  {
    name: 'upload',
    shows: "how fast weights reach the device, against the driver's own copies",
    quick: false,
    limitMs: 30 * SECOND,
    budgetMs: 5 * SECOND,
    figures: ['GBps', 'pinned.GBps', 'pageable.GBps', 'againstPinned'],
  },
  {
    name: 'seal',
    shows:
      'how long sealing takes with each choice of digests, and where the device hashes instead of the host',
    quick: false,
    limitMs: 90 * SECOND,
    budgetMs: 40 * SECOND,
    figures: ['seals'],
  },
  {
    name: 'many-tensors',
    shows:
      'that the tensors of the largest models are sealed, found damaged by name and healed, in bounded memory',
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 15 * SECOND,
    figures: ['tensors', 'sealMs', 'verifyMs', 'healMs', 'hostMiB'],
  },
  {
    name: 'guard',
    shows:
      "the guard over a decoder's weights: damage found and named, its cost, and that it leaves a capture whole",
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['checks', 'figures.verifyMsPerGB', 'figures.readbackMsPerGB', 'figures.usPerTensor'],
  },
  {
    name: 'guard-torch',
    shows: 'the same in PyTorch, and how much serving slows down',
    quick: false,
    limitMs: 90 * SECOND,
    budgetMs: 40 * SECOND,
    figures: ['checks', 'figures.verifyMsPerGB', 'figures.cpuMsPerGB', 'figures.sumMsPerGB'],
  },
  {
    name: 'sharing',
    shows:
      'another process reads lent memory, cannot store to it, hears of damage, and is lent the healed shard',
    quick: false,
    limitMs: 90 * SECOND,
    budgetMs: 20 * SECOND,
    figures: [
      'readsEqual',
      'store',
      'ownerUnharmed',
      'heard',
      'lentAgain',
      'rights.writeAccess',
      'allocations',
    ],
  },
  {
    name: 'pytorch',
    shows: 'PyTorch computes on lent weights as on those of the file',
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 15 * SECOND,
    figures: ['torch', 'checks.dlpack', 'checks.matmul', 'ownerUnharmed'],
    hardwareFigures: ['checks.cudaArrayInterface', 'checks.writeInPlace'],
  },
  {
    name: 'survivors',
    shows: 'what becomes of lent memory when borrower or owner is killed, or lets go under a mapping',
    quick: false,
    limitMs: 90 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['borrowerKilled.after', 'releasedUnderMapping.orphanedBytes', 'ownerKilled.bytesSurvive'],
  },
  {
    name: 'jit',
    shows: 'how long opening takes: PTX, machine code, and the second time',
    quick: false,
    limitMs: 40 * SECOND,
    budgetMs: 15 * SECOND,
    figures: ['ptx.firstMs', 'ptx.secondMs'],
  },
  {
    name: 'scrub',
    shows: 'what a scrub costs a busy neighbour, and the neighbour the scrub',
    quick: false,
    limitMs: 40 * SECOND,
    budgetMs: 15 * SECOND,
    figures: ['bandwidthGBps', 'shares'],
  },
  {
    name: 'loss',
    shows: 'what a context is after an illegal store, and that another process is well',
    quick: false,
    limitMs: 30 * SECOND,
    budgetMs: 10 * SECOND,
    figures: ['store', 'rootAfter', 'reopenAfter', 'otherProcess'],
  },
  {
    name: 'probe',
    shows: 'the shipped PTX by Python and the driver alone, without Node',
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['ok'],
  },
  {
    name: 'webgpu',
    shows: 'the WebGPU backend on this GPU, where a Vulkan driver is',
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['adapter', 'execution', 'residency', 'verifyGBps', 'contract.passed'],
  },
  {
    name: 'engine',
    shows:
      'ONNX Runtime computes on sealed weights through WebGPU, is refused damaged ones, and is right again once healed',
    quick: false,
    limitMs: 90 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['adapter', 'execution', 'difference', 'witness.readOnly', 'damage.tensors', 'steadyMs.sealed'],
  },
  {
    name: 'profile',
    shows: "the leaf kernel's pipes and memory under Nsight Compute, where it is",
    quick: false,
    limitMs: 60 * SECOND,
    budgetMs: 20 * SECOND,
    figures: ['metrics'],
  },
];
