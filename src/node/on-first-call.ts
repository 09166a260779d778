/**
 * An async function whose module is loaded when the function is first called. The index files of rooms that most programs
 * never use export such functions, so that `vram-residency digest` starts without loading these rooms.
 */
export function onFirstCall<Given extends unknown[], Result>(
  load: () => Promise<(...given: Given) => Promise<Result>>,
): (...given: Given) => Promise<Result> {
  return async (...given) => await (await load())(...given);
}
