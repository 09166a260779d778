// Sixteen blocks at once with AVX-512: one 32-bit word of each block in a register. Rotations and three-way logic are single
// instructions.
#if defined(__x86_64__)
#include <immintrin.h>

#include "sha256.h"

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves a register uninitialised on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define VRAM_TARGET __attribute__((target("avx512f,avx512bw")))
#define VRAM_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

namespace vram {

namespace {

constexpr std::size_t kLanes = 16;
// Truth tables of _mm512_ternarylogic_epi32.
constexpr int kXor = 0x96;
constexpr int kChoose = 0xca;
constexpr int kMajority = 0xe8;

VRAM_INLINE __m512i add(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
VRAM_INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi32(a, b, c, kXor); }

// The sixteen words of a chunk of each lane: words[i] holds word i of all lanes. Loads one row per lane and transposes.
VRAM_INLINE void loadWords(const uint8_t** from, __m512i* words) {
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
  __m512i rows[16];
  __m512i pairs[16];
  for (int i = 0; i < 16; i++) rows[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(from[i]), swap);
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    pairs[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
    pairs[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    pairs[i + 8] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0x88);
    pairs[i + 12] = _mm512_shuffle_i32x4(rows[i + 8], rows[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    words[i] = _mm512_shuffle_i32x4(pairs[i], pairs[i + 8], 0x88);
    words[i + 8] = _mm512_shuffle_i32x4(pairs[i], pairs[i + 8], 0xdd);
    words[i + 4] = _mm512_shuffle_i32x4(pairs[i + 4], pairs[i + 12], 0x88);
    words[i + 12] = _mm512_shuffle_i32x4(pairs[i + 4], pairs[i + 12], 0xdd);
  }
}

// Compresses one chunk of each lane; afterwards `from` points past it.
VRAM_TARGET void compress(__m512i* state, const uint8_t** from) {
  __m512i w[16];
  loadWords(from, w);
  __m512i a = state[0], b = state[1], c = state[2], d = state[3];
  __m512i e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
  for (std::size_t i = 0; i < kRounds; i++) {
    __m512i& word = w[i % 16];
    if (i >= 16) {
      const __m512i w15 = w[(i + 1) % 16];
      const __m512i w2 = w[(i + 14) % 16];
      const __m512i low = xor3(_mm512_ror_epi32(w15, 7), _mm512_ror_epi32(w15, 18), _mm512_srli_epi32(w15, 3));
      const __m512i high = xor3(_mm512_ror_epi32(w2, 17), _mm512_ror_epi32(w2, 19), _mm512_srli_epi32(w2, 10));
      word = add(add(word, low), add(w[(i + 9) % 16], high));
    }
    const __m512i constant = _mm512_set1_epi32(static_cast<int>(kRoundConstants[i]));
    const __m512i sum1 = xor3(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11), _mm512_ror_epi32(e, 25));
    const __m512i choose = _mm512_ternarylogic_epi32(e, f, g, kChoose);
    const __m512i first = add(add(h, sum1), add(add(choose, constant), word));
    const __m512i sum0 = xor3(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13), _mm512_ror_epi32(a, 22));
    const __m512i second = add(sum0, _mm512_ternarylogic_epi32(a, b, c, kMajority));
    h = g;
    g = f;
    f = e;
    e = add(d, first);
    d = c;
    c = b;
    b = a;
    a = add(first, second);
  }
  const __m512i now[kStateWords] = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < kStateWords; i++) state[i] = add(state[i], now[i]);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] += kChunkBytes;
}

VRAM_TARGET void hashGroup(const uint8_t** from, uint8_t* hashes) {
  __m512i state[kStateWords];
  for (std::size_t i = 0; i < kStateWords; i++) state[i] = _mm512_set1_epi32(static_cast<int>(kInitialState[i]));
  for (std::size_t chunk = 0; chunk < kBlockBytes / kChunkBytes; chunk++) compress(state, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] = kPadding.bytes;
  compress(state, from);
  alignas(64) uint32_t words[kStateWords][kLanes];
  for (std::size_t i = 0; i < kStateWords; i++) _mm512_store_si512(words[i], state[i]);
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    uint32_t own[kStateWords];
    for (std::size_t i = 0; i < kStateWords; i++) own[i] = words[i][lane];
    storeHash(own, hashes + lane * kHashBytes);
  }
}

bool supported() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }

// Queried once: in a virtual machine CPUID causes an exit, which takes as long as hashing ten blocks.
bool shaNiSupported() {
  static const bool answer = kShaNiHasher.supported();
  return answer;
}

void hash(const uint8_t* blocks, std::size_t count, uint8_t* hashes) {
  // A group costs the same however few of its lanes are used, so a short remainder goes to the SHA extensions if present.
  const std::size_t rest = count % kLanes;
  const bool short_rest = rest != 0 && rest <= kLanes / 2 && shaNiSupported();
  const std::size_t here = short_rest ? count - rest : count;
  hashInGroups<kLanes>(blocks, here, hashes, hashGroup);
  if (here < count) kShaNiHasher.hash(blocks + here * kBlockBytes, rest, hashes + here * kHashBytes);
}

}  // namespace

const BlockHasher kAvx512Hasher{"avx512", supported, hash};

}  // namespace vram
#endif
