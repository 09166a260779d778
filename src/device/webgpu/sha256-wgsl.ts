/** Round constants (FIPS 180-4, section 4.2.2). */
const K: readonly number[] = [
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
  0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
  0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
  0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
  0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
  0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
  0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
  0xc67178f2,
];

/** Initial hash value (FIPS 180-4, section 5.3.3). */
const INITIAL: readonly number[] = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

const WORDS = 16;
const ROUNDS = 64;
const BLOCK_BITS = 4096 * 8;
const STATE = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;

/**
 * `unrolled`: 64 rounds as straight code, which compilers for real GPUs and Mesa keep in registers. `looped`: 16 rounds in
 * a loop, which SwiftShader compiles and runs faster.
 */
export type Sha256Variant = 'unrolled' | 'looped';

/**
 * WGSL of `hash_block(block: u32) -> Hash`: SHA-256 of 4096 bytes that `block_vector(block, index)` returns, sixteen at a
 * time, in memory order. The hash is in memory order too. The schedule is sixteen words in registers, and the message's
 * padding chunk, always the same, has its schedule computed here.
 */
export function sha256Wgsl(variant: Sha256Variant): string {
  return [
    'struct Hash { low: vec4<u32>, high: vec4<u32> }',
    'fn byte_swap(v: vec4<u32>) -> vec4<u32> {',
    '  return (v << vec4<u32>(24u)) | ((v & vec4<u32>(0xff00u)) << vec4<u32>(8u))',
    '    | ((v >> vec4<u32>(8u)) & vec4<u32>(0xff00u)) | (v >> vec4<u32>(24u));',
    '}',
    variant === 'looped' ? `const ROUND_K = array<u32, 64>(${K.map(hex).join(', ')});` : '',
    'fn hash_block(block: u32) -> Hash {',
    ...INITIAL.map((value, i) => `  var s${i} = ${hex(value)};`),
    ...STATE.map((name, i) => `  var ${name} = s${i};`),
    '  var t = 0u;',
    ...(variant === 'unrolled' ? unrolledBody() : loopedBody()),
    '  return Hash(byte_swap(vec4<u32>(s0, s1, s2, s3)), byte_swap(vec4<u32>(s4, s5, s6, s7)));',
    '}',
    '',
  ].join('\n');
}

/** K[t] + W[t] of the chunk 0x80, zeros, length in bits (FIPS 180-4, section 5.1.1). */
function paddingConstants(): number[] {
  const w = Array.from({ length: WORDS }, () => 0);
  w[0] = 0x80000000;
  w[WORDS - 1] = BLOCK_BITS;
  const at = (t: number): number => w[t] ?? 0;
  const rotate = (x: number, n: number): number => (x >>> n) | (x << (32 - n));
  for (let t = WORDS; t < ROUNDS; t++) {
    const low = rotate(at(t - 15), 7) ^ rotate(at(t - 15), 18) ^ (at(t - 15) >>> 3);
    const high = rotate(at(t - 2), 17) ^ rotate(at(t - 2), 19) ^ (at(t - 2) >>> 10);
    w[t] = (at(t - 16) + low + at(t - 7) + high) >>> 0;
  }
  return K.map((k, t) => (k + at(t)) >>> 0);
}

function unrolledBody(): string[] {
  const lines = ['  for (var chunk = 0u; chunk < 256u; chunk += 4u) {'];
  for (let i = 0; i < 4; i++) lines.push(`    let v${i} = byte_swap(block_vector(block, chunk + ${i}u));`);
  lines.push(...words());
  for (let t = 0; t < ROUNDS; t++) {
    if (t >= WORDS) lines.push(schedule(t));
    lines.push(...round(t, `${hex(K[t] ?? 0)} + w${t % WORDS}`));
  }
  lines.push(...addBack(), '  }');
  lines.push(...paddingConstants().flatMap((kw, t) => round(t, hex(kw))), ...addBack());
  return lines;
}

/** The padding chunk goes through the same loop, so that there is only one body of rounds to compile. */
function loopedBody(): string[] {
  const lines = [
    '  for (var chunk = 0u; chunk <= 256u; chunk += 4u) {',
    '    var v0 = vec4<u32>(0x80000000u, 0u, 0u, 0u);',
    '    var v1 = vec4<u32>(0u);',
    '    var v2 = vec4<u32>(0u);',
    `    var v3 = vec4<u32>(0u, 0u, 0u, ${BLOCK_BITS}u);`,
    '    if (chunk < 256u) {',
  ];
  for (let i = 0; i < 4; i++) lines.push(`    v${i} = byte_swap(block_vector(block, chunk + ${i}u));`);
  lines.push('    }', ...words(), '    for (var r = 0u; r < 64u; r += 16u) {');
  for (let t = 0; t < WORDS; t++) lines.push(...round(t, `ROUND_K[r + ${t}u] + w${t}`));
  lines.push('      if (r < 48u) {');
  for (let t = 0; t < WORDS; t++) lines.push(schedule(t));
  lines.push('      }', '    }', ...addBack(), '  }');
  return lines;
}

function words(): string[] {
  return [0, 1, 2, 3].flatMap((i) =>
    ['x', 'y', 'z', 'w'].map((lane, j) => `    var w${4 * i + j} = v${i}.${lane};`),
  );
}

/** FIPS 180-4, section 6.2.2, step 1, in place. */
function schedule(t: number): string {
  const w = (distance: number): string => `w${(t + WORDS - distance) % WORDS}`;
  const low = `(${rotate(w(15), 7)} ^ ${rotate(w(15), 18)} ^ (${w(15)} >> 3u))`;
  const high = `(${rotate(w(2), 17)} ^ ${rotate(w(2), 19)} ^ (${w(2)} >> 10u))`;
  return `    ${w(16)} += ${low} + ${w(7)} + ${high};`;
}

/** FIPS 180-4, section 6.2.2, step 3. The eight variables change roles instead of moving. */
function round(t: number, kw: string): string[] {
  const name = (i: number): string => STATE[(i + ROUNDS - t) % STATE.length] ?? 'a';
  const [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(name);
  return [
    `    t = ${h} + (${rotate(e, 6)} ^ ${rotate(e, 11)} ^ ${rotate(e, 25)}) + (${g} ^ (${e} & (${f} ^ ${g}))) + ${kw};`,
    `    ${d} += t;`,
    `    ${h} = t + (${rotate(a, 2)} ^ ${rotate(a, 13)} ^ ${rotate(a, 22)}) + ((${a} & ${b}) | (${c} & (${a} | ${b})));`,
  ];
}

/** Step 4; the working variables start the next chunk with the same values. */
function addBack(): string[] {
  return STATE.flatMap((name, i) => [`    s${i} += ${name};`, `    ${name} = s${i};`]);
}

function rotate(x: string | undefined, n: number): string {
  return `((${x} >> ${n}u) | (${x} << ${32 - n}u))`;
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}u`;
}
