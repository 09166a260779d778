/**
 * An async function whose module is loaded when the function is first called. Rooms that most programs never enter have
 * doors made of these, so that `vram-residency digest` starts without them.
 */
export function onFirstCall<Given extends unknown[], Result>(
  load: () => Promise<(...given: Given) => Promise<Result>>,
): (...given: Given) => Promise<Result> {
  return async (...given) => await (await load())(...given);
}
