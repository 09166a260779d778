const { VRAM_RESIDENCY_TEST_SANITIZE: asked } = process.env;

/** The sanitizer that `npm run sanitize` built addon and test driver with, and preloads; null without. */
export const sanitizer = asked === undefined ? null : asked;

/** The folder of such a build below `native/` and `native/emulator/`. */
export const buildFolder =
  sanitizer === null ? 'build' : sanitizer === 'thread' ? 'build/sanitize-thread' : 'build/sanitize';
