/** Milliseconds of this process's own time on the CPU: what others on the machine take does not count. */
async function cpuTime(run: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const FACTOR = 8;
/** Linear work takes 8 times as long for 8 times as much, quadratic work 64 times. */
const LIMIT = 28;
/** A collection or a compiler may hit one measurement; quadratic work fails all of them. */
const ATTEMPTS = 3;

/**
 * How the time of `run` grows with its input: the least of some measurements of `8 * size` against `size`, or the first
 * that is linear.
 */
export async function growth<Input>(
  make: (size: number) => Input,
  run: (input: Input) => unknown,
  size: number,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < ATTEMPTS && least >= LIMIT; attempt++) {
    const [small, large] = [make(size), make(FACTOR * size)];
    const base = await cpuTime(() => run(small));
    least = Math.min(least, (await cpuTime(() => run(large))) / base);
  }
  return least;
}

export const LINEAR = LIMIT;
