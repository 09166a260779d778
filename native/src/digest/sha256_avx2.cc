// Eight blocks at once with AVX2: one 32-bit word of each block in a register. For processors with neither AVX-512 nor SHA
// extensions.
#if defined(__x86_64__)
#include <immintrin.h>

#include "sha256.h"

#define VRAM_TARGET __attribute__((target("avx2")))
#define VRAM_INLINE __attribute__((target("avx2"), always_inline)) inline

namespace vram {

namespace {

constexpr std::size_t kLanes = 8;

VRAM_INLINE __m256i add(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
VRAM_INLINE __m256i xor3(__m256i a, __m256i b, __m256i c) { return _mm256_xor_si256(a, _mm256_xor_si256(b, c)); }
template <int bits>
VRAM_INLINE __m256i rotate(__m256i a) {
  return _mm256_or_si256(_mm256_srli_epi32(a, bits), _mm256_slli_epi32(a, 32 - bits));
}

// Half a chunk, eight words, of each lane: words[i] holds word i of all lanes.
VRAM_INLINE void loadWords(const uint8_t** from, std::size_t offset, __m256i* words) {
  const __m256i swap = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
  __m256i rows[8];
  __m256i pairs[8];
  for (int i = 0; i < 8; i++) {
    rows[i] = _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from[i] + offset)), swap);
  }
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    rows[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
    rows[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
    rows[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    rows[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    words[i] = _mm256_permute2x128_si256(rows[i], rows[i + 4], 0x20);
    words[i + 4] = _mm256_permute2x128_si256(rows[i], rows[i + 4], 0x31);
  }
}

// Compresses one chunk of each lane; afterwards `from` points past it.
VRAM_TARGET void compress(__m256i* state, const uint8_t** from) {
  __m256i w[16];
  loadWords(from, 0, w);
  loadWords(from, kChunkBytes / 2, w + 8);
  __m256i a = state[0], b = state[1], c = state[2], d = state[3];
  __m256i e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
  for (std::size_t i = 0; i < kRounds; i++) {
    __m256i& word = w[i % 16];
    if (i >= 16) {
      const __m256i w15 = w[(i + 1) % 16];
      const __m256i w2 = w[(i + 14) % 16];
      const __m256i low = xor3(rotate<7>(w15), rotate<18>(w15), _mm256_srli_epi32(w15, 3));
      const __m256i high = xor3(rotate<17>(w2), rotate<19>(w2), _mm256_srli_epi32(w2, 10));
      word = add(add(word, low), add(w[(i + 9) % 16], high));
    }
    const __m256i constant = _mm256_set1_epi32(static_cast<int>(kRoundConstants[i]));
    const __m256i sum1 = xor3(rotate<6>(e), rotate<11>(e), rotate<25>(e));
    const __m256i choose = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
    const __m256i first = add(add(h, sum1), add(add(choose, constant), word));
    const __m256i sum0 = xor3(rotate<2>(a), rotate<13>(a), rotate<22>(a));
    const __m256i majority = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_or_si256(a, b)));
    const __m256i second = add(sum0, majority);
    h = g;
    g = f;
    f = e;
    e = add(d, first);
    d = c;
    c = b;
    b = a;
    a = add(first, second);
  }
  const __m256i now[kStateWords] = {a, b, c, d, e, f, g, h};
  for (std::size_t i = 0; i < kStateWords; i++) state[i] = add(state[i], now[i]);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] += kChunkBytes;
}

VRAM_TARGET void hashGroup(const uint8_t** from, uint8_t* hashes) {
  __m256i state[kStateWords];
  for (std::size_t i = 0; i < kStateWords; i++) state[i] = _mm256_set1_epi32(static_cast<int>(kInitialState[i]));
  for (std::size_t chunk = 0; chunk < kBlockBytes / kChunkBytes; chunk++) compress(state, from);
  for (std::size_t lane = 0; lane < kLanes; lane++) from[lane] = kPadding.bytes;
  compress(state, from);
  alignas(32) uint32_t words[kStateWords][kLanes];
  for (std::size_t i = 0; i < kStateWords; i++) _mm256_store_si256(reinterpret_cast<__m256i*>(words[i]), state[i]);
  for (std::size_t lane = 0; lane < kLanes; lane++) {
    uint32_t own[kStateWords];
    for (std::size_t i = 0; i < kStateWords; i++) own[i] = words[i][lane];
    storeHash(own, hashes + lane * kHashBytes);
  }
}

bool supported() { return __builtin_cpu_supports("avx2"); }

void hash(const uint8_t* blocks, std::size_t count, uint8_t* hashes) {
  hashInGroups<kLanes>(blocks, count, hashes, hashGroup);
}

}  // namespace

const BlockHasher kAvx2Hasher{"avx2", supported, hash};

}  // namespace vram
#endif
