import { env, stderr } from 'node:process';
import { hasFunctions, optionalAddon } from '../addon/index.js';

/** Harmless messages of Dawn and the Vulkan loader on stderr; our own messages report what is missing. */
const NOISE: readonly RegExp[] = [
  /^Warning: Couldn't load Vulkan: /,
  /^Warning: vkCreateInstance/,
  /^Warning: maxDynamic\w+ artificially reduced/,
  /^ {4}at .*\/third_party\/dawn\//,
];

/** The addon's function: calls with stderr captured, and returns what was written to it. */
type HoldStderr = (call: () => unknown) => { readonly value: unknown; readonly text: string };

let hold: HoldStderr | null | undefined;

/**
 * Calls `call` and removes harmless driver messages from stderr; everything else written meanwhile appears after the
 * call. Without the addon, and with VRAM_RESIDENCY_DEBUG=1, stderr stays as it is. See docs/decisions/driver-noise.md.
 */
export function withoutDriverNoise<T>(call: () => T): T {
  hold ??= env['VRAM_RESIDENCY_DEBUG'] === '1' ? null : holdOf(optionalAddon());
  if (hold === null) return call();
  // The result is passed out by assignment, because the addon's return value is untyped.
  let result: { readonly value: T } | undefined;
  const { text } = hold(() => {
    result = { value: call() };
  });
  const rest = withoutNoise(text);
  if (rest !== '') stderr.write(rest);
  if (result === undefined) throw new Error('the call was not made');
  return result.value;
}

/** The text without the harmless lines and the empty lines after them. */
export function withoutNoise(text: string): string {
  let afterNoise = false;
  return text
    .split('\n')
    .filter((line) => {
      afterNoise = NOISE.some((pattern) => pattern.test(line)) || (afterNoise && line === '');
      return !afterNoise;
    })
    .join('\n');
}

function holdOf(addon: unknown): HoldStderr | null {
  return hasFunctions(addon, ['holdStderr']) ? (addon.holdStderr as HoldStderr) : null;
}
