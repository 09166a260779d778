/** A file that calls itself a model of some format, by its name or its first bytes, and cannot be read as one. */
export class BrokenModel extends Error {
  /** `problem`: a sentence without its full stop, from the reader of that format. */
  constructor(format: string, problem: string, cause: unknown) {
    super(`this cannot be read as ${format}, so nothing was sealed: ${problem}`, { cause });
    this.name = 'BrokenModel';
  }
}
