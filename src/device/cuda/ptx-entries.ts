/** Sizes in bytes of a kernel's parameters, in order. */
export type ParameterSizes = readonly number[];

const PARAMETER_BYTES: ReadonlyMap<string, number> = new Map([
  ['b8', 1],
  ['u8', 1],
  ['s8', 1],
  ['b16', 2],
  ['u16', 2],
  ['s16', 2],
  ['f16', 2],
  ['b32', 4],
  ['u32', 4],
  ['s32', 4],
  ['f32', 4],
  ['b64', 8],
  ['u64', 8],
  ['s64', 8],
  ['f64', 8],
]);

/** PTX identifiers (PTX ISA, "Identifiers"): [a-zA-Z][followsym]* or [_$%][followsym]+. */
const NAME = '[a-zA-Z_$%][a-zA-Z0-9_$]*';
const ENTRY = new RegExp(`\\.entry\\s+(${NAME})\\s*(?:\\(([^)]*)\\))?`, 'g');
const PARAMETER = new RegExp(
  `^\\.param\\s+(?:\\.align\\s+\\d+\\s+)?\\.([a-z]+\\d+)(?:\\s+\\.ptr(?:\\s+\\.(?:global|const|shared|local))?(?:\\s+\\.align\\s+\\d+)?)?\\s+${NAME}(\\[\\d+\\])?$`,
);

/**
 * The parameters of an entry as the PTX declares them; null if there is no such entry. The driver reads as many arguments as the kernel
 * declares, whatever was passed, so a launch is compared with this first. A declaration that is not a single number or pointer
 * gives NaN, which no argument matches.
 */
export function entryParameters(ptx: string, entry: string): ParameterSizes | null {
  const text = ptx.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\//g, ' ');
  for (const [, name, list = ''] of text.matchAll(ENTRY)) {
    if (name !== entry) continue;
    const declarations = list.trim() === '' ? [] : list.split(',');
    return declarations.map((declaration) => {
      const match = PARAMETER.exec(declaration.trim());
      if (match === null || match[2] !== undefined) return Number.NaN;
      return PARAMETER_BYTES.get(match[1] ?? '') ?? Number.NaN;
    });
  }
  return null;
}
