/** What ran the code under test. `none`: no device is involved. */
export type BackendKey = 'none' | 'host' | 'webgpu' | 'page' | 'cuda';

export interface ProofGroup {
  readonly name: string;
  /** One sentence: what the group shows if it passes. */
  readonly shows: string;
  /** Fewer passing tests than this, and the bundle is incomplete. */
  readonly least: number;
}

export const PROOF_GROUPS = [
  {
    name: 'allocator',
    shows: 'Memory is reserved before it is taken, counted exactly and given back, wiped.',
    least: 18,
  },
  {
    name: 'addon',
    shows: 'The native addon loads, or says in words what is missing, and types every failure.',
    least: 3,
  },
  {
    name: 'seal',
    shows: 'A seal is made of bytes proved on the device, and one changed bit of handle or bytes breaks it.',
    least: 18,
  },
  { name: 'validation', shows: 'Every input is checked at the border and refused by name.', least: 18 },
  {
    name: 'types',
    shows: 'The compiler refuses what the library would refuse, and accepts what the documents show.',
    least: 10,
  },
  {
    name: 'policy',
    shows: 'Where weights may live is decided by facts, and a missing fact never counts as proof.',
    least: 20,
  },
  {
    name: 'CUDA',
    shows: 'The CUDA backend and the PTX that ships, run over a test driver that checks every access.',
    least: 25,
  },
  { name: 'features', shows: 'The behaviours that the feature files tell, run as written.', least: 7 },
  {
    name: 'contract',
    shows: 'Every backend gives the same answers to the same cases, and broken ones are found out.',
    least: 0,
  },
  {
    name: 'WebGPU',
    shows: 'Hashing in place, sealed buffers, dispatches and device loss on the WebGPU adapter of this run.',
    least: 0,
  },
  {
    name: 'leases and healing',
    shows: 'Weights are used under leases, damage is localised, healed, drilled and attested.',
    least: 0,
  },
  {
    name: 'audit',
    shows: 'The log shows every change, survives crashes and failing disks, and its proofs verify.',
    least: 0,
  },
  {
    name: 'digests',
    shows: 'Digests agree with published vectors and independent programs on every engine.',
    least: 0,
  },
  {
    name: 'sources',
    shows: 'Files and model formats are read within bounds; hostile ones are refused.',
    least: 0,
  },
  {
    name: 'observability',
    shows: 'Sentences, spans and metrics tell what happened and no secret.',
    least: 0,
  },
  { name: 'command line', shows: 'Every command, option and exit code.', least: 0 },
  { name: 'pages', shows: 'The page build seals and verifies in a real browser.', least: 0 },
  {
    name: 'fuzzing',
    shows: 'Generated and damaged inputs are accepted or refused, and nothing else happens.',
    least: 0,
  },
  { name: 'evidence', shows: 'The tools that make this evidence claim no more than what ran.', least: 0 },
  { name: 'other', shows: 'Everything else.', least: 0 },
] as const satisfies readonly ProofGroup[];

export type GroupName = (typeof PROOF_GROUPS)[number]['name'];

interface Rule {
  readonly file: RegExp;
  /** Of the outermost describe; absent: any. */
  readonly suite?: RegExp;
  readonly group: GroupName;
  /** What runs the code where the names of suites and test do not say it. */
  readonly backend: BackendKey;
}

/** The first rule that fits wins. */
const RULES: readonly Rule[] = [
  { file: /^test\/features\//, group: 'features', backend: 'host' },
  { file: /^test\/unit\/package\/types/, group: 'types', backend: 'none' },
  { file: /^test\/cuda\/(problems|probe)\./, group: 'addon', backend: 'cuda' },
  { file: /^test\/cuda\/(memory-information)\./, suite: /policy/, group: 'policy', backend: 'cuda' },
  { file: /^test\/cuda\//, group: 'CUDA', backend: 'cuda' },
  { file: /^test\/contract\/cuda\./, group: 'CUDA', backend: 'cuda' },
  { file: /^test\/contract\/webgpu/, group: 'contract', backend: 'webgpu' },
  { file: /^test\/contract\//, group: 'contract', backend: 'host' },
  { file: /^test\/unit\/policy\//, group: 'policy', backend: 'none' },
  { file: /^test\/unit\/manager\/operations\/seal/, suite: /refuses/, group: 'validation', backend: 'host' },
  { file: /^test\/unit\/manager\/operations\/seal/, suite: /RP-006/, group: 'allocator', backend: 'host' },
  {
    file: /^test\/unit\/manager\/(operations\/(seal|verify|resolve)|backends)/,
    group: 'seal',
    backend: 'host',
  },
  { file: /^test\/unit\/(seal\/|crypto\/|base\/canonical)/, group: 'seal', backend: 'none' },
  { file: /^test\/property\/(seal|handle)/, group: 'seal', backend: 'none' },
  {
    file: /^test\/unit\/(base\/(validate|errors|strict-json)|models\/expected)/,
    group: 'validation',
    backend: 'none',
  },
  { file: /^test\/property\/strict-json/, group: 'validation', backend: 'none' },
  { file: /^test\/unit\/device\/segments/, group: 'allocator', backend: 'none' },
  { file: /^test\/property\/segments/, group: 'allocator', backend: 'none' },
  {
    file: /^test\/unit\/(manager\/(state\/(ledger|shard-lock)|operations\/(allocate|release))|device\/host\/device)/,
    group: 'allocator',
    backend: 'host',
  },
  { file: /^test\/property\/manager/, group: 'allocator', backend: 'host' },
  { file: /^test\/unit\/manager\/operations\/lease-webgpu/, group: 'WebGPU', backend: 'webgpu' },
  { file: /^test\/unit\/device\/webgpu\/backend/, group: 'WebGPU', backend: 'none' },
  { file: /^test\/unit\/device\/webgpu/, group: 'WebGPU', backend: 'webgpu' },
  { file: /^test\/unit\/manager\/operations\/(open|capacity)/, group: 'policy', backend: 'host' },
  { file: /^test\/unit\/(manager|attest)\//, group: 'leases and healing', backend: 'host' },
  { file: /^test\/(unit\/(node\/)?audit\/|property\/audit)/, group: 'audit', backend: 'none' },
  { file: /^test\/unit\/device\/(host\/proof|known-answers|select)/, group: 'contract', backend: 'host' },
  { file: /^test\/(unit\/(node\/)?digest\/|property\/digest)/, group: 'digests', backend: 'none' },
  {
    file: /^test\/(unit\/(models|source|node\/files)\/|property\/(gguf|onnx|safetensors|model|source))/,
    group: 'sources',
    backend: 'none',
  },
  {
    file: /^test\/unit\/(narration\/|telemetry\/|examples\/observability)/,
    group: 'observability',
    backend: 'host',
  },
  { file: /^test\/cli\//, group: 'command line', backend: 'host' },
  { file: /^test\/browser\//, group: 'pages', backend: 'page' },
  { file: /^test\/fuzz\//, group: 'fuzzing', backend: 'none' },
  {
    file: /^test\/unit\/(scripts\/|documents\/(readme|doc-examples))/,
    group: 'evidence',
    backend: 'none',
  },
];

export interface Placed {
  readonly group: GroupName;
  readonly backend: BackendKey;
}

/** Group and backend of a test by its file and the names around it. Names that say which backend ran win over the table. */
export function placeTest(file: string, suites: readonly string[], name: string): Placed {
  const rule = RULES.find((one) => one.file.test(file) && (one.suite?.test(suites[0] ?? '') ?? true));
  const placed: Placed = rule ?? { group: 'other', backend: 'none' };
  return { group: placed.group, backend: namedBackend([...suites, name]) ?? placed.backend };
}

/**
 * Names of backends as test/support/backends.ts gives them: the whole name, after "on" or a colon, or in brackets at the
 * end.
 */
const NAMED: readonly (readonly [RegExp, BackendKey])[] = [
  [/^(?:.*\bon |.*: |.* \()?'?webgpu(?: on|'|\)|$)/, 'webgpu'],
  [/^(?:.*\bon |.*: |.* \()?'?cuda(?: \(emulated driver\)| without virtual memory|'|\)|$)/, 'cuda'],
  [/^(?:.*\bon |.*: |.* \()?'?host(?: in segments|'|\)|$)/, 'host'],
];

function namedBackend(names: readonly string[]): BackendKey | null {
  for (const name of names) {
    for (const [pattern, backend] of NAMED) if (pattern.test(name)) return backend;
  }
  return null;
}
