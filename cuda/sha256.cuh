// SHA-256 (FIPS 180-4) of 4096-byte blocks for device code, all rounds unrolled.
#ifndef VRAM_RESIDENCY_SHA256_CUH
#define VRAM_RESIDENCY_SHA256_CUH

#include <cstdint>

namespace {

constexpr unsigned kBlockBytes = 4096;
constexpr unsigned kHashBytes = 32;
constexpr unsigned kChunkVectors = 4;  // a 64-byte chunk is four 16-byte loads
constexpr unsigned kBlockVectors = kBlockBytes / 16;
constexpr unsigned kHashVectors = kHashBytes / 16;

constexpr unsigned kMaxThreads = 256;
constexpr uint64_t kNoBound = ~0ull;

// FIPS 180-4, section 4.2.2. A function, not an array: unrolled, every constant becomes an immediate operand.
__host__ __device__ constexpr uint32_t k(int t) {
  constexpr uint32_t table[64] = {
      0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
      0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
      0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
      0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
      0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
      0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
      0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
      0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u};
  return table[t];
}

__host__ __device__ constexpr uint32_t rotateRightConstant(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

// The 65th chunk of a 4096-byte message is padding alone (FIPS 180-4, section 5.1.1): 0x80, zeros, the length of 32768 bits.
// Its schedule does not depend on the data, so K+W of its rounds are constants.
__host__ __device__ constexpr uint32_t paddingKW(int wanted) {
  uint32_t w[64] = {};
  w[0] = 0x80000000u;
  w[15] = kBlockBytes * 8;
  for (int t = 16; t < 64; t++) {
    const uint32_t a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + (rotateRightConstant(a, 7) ^ rotateRightConstant(a, 18) ^ (a >> 3)) + w[t - 7] +
           (rotateRightConstant(b, 17) ^ rotateRightConstant(b, 19) ^ (b >> 10));
  }
  return k(wanted) + w[wanted];
}

template <int T>
struct PaddingConstant {
  static constexpr uint32_t value = paddingKW(T);
};

template <int T>
struct RoundConstant {
  static constexpr uint32_t value = k(T);
};

__device__ __forceinline__ uint32_t rotateRight(uint32_t x, unsigned n) { return __funnelshift_r(x, x, n); }

// One instruction for any function of three words, named by its truth table. Spelled out so that the PTX has it too, not
// only the machine code that ptxas makes of it: a third fewer instructions for whoever reads or interprets the PTX.
template <int kTable>
__device__ __forceinline__ uint32_t logic(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(result) : "r"(x), "r"(y), "r"(z), "n"(kTable));
  return result;
}
__device__ __forceinline__ uint32_t exclusiveOr(uint32_t x, uint32_t y, uint32_t z) { return logic<0x96>(x, y, z); }
__device__ __forceinline__ uint32_t choose(uint32_t x, uint32_t y, uint32_t z) { return logic<0xca>(x, y, z); }
__device__ __forceinline__ uint32_t majority(uint32_t x, uint32_t y, uint32_t z) { return logic<0xe8>(x, y, z); }

// FIPS 180-4, section 4.1.2.
__device__ __forceinline__ uint32_t bigSigma0(uint32_t x) {
  return exclusiveOr(rotateRight(x, 2), rotateRight(x, 13), rotateRight(x, 22));
}
__device__ __forceinline__ uint32_t bigSigma1(uint32_t x) {
  return exclusiveOr(rotateRight(x, 6), rotateRight(x, 11), rotateRight(x, 25));
}
__device__ __forceinline__ uint32_t smallSigma0(uint32_t x) {
  return exclusiveOr(rotateRight(x, 7), rotateRight(x, 18), x >> 3);
}
__device__ __forceinline__ uint32_t smallSigma1(uint32_t x) {
  return exclusiveOr(rotateRight(x, 17), rotateRight(x, 19), x >> 10);
}
__device__ __forceinline__ uint32_t bigEndian(uint32_t x) { return __byte_perm(x, 0, 0x0123); }

// With VR_ADDS_BY_MULTIPLY every addition of a round is x * 1 + y, by a 1 that the compiler cannot see through: the
// multiply-add pipe stands idle otherwise. For variants alone, not what ships: docs/decisions/cuda-kernels.md.
__device__ __forceinline__ uint32_t add(uint32_t x, uint32_t y) {
#ifdef VR_ADDS_BY_MULTIPLY
  uint32_t one;
  asm("{ .reg .u32 t; mov.u32 t, %%nctaid.x; shr.u32 t, t, 31; add.u32 %0, t, 1; }" : "=r"(one));
  uint32_t sum;
  asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(sum) : "r"(x), "r"(one), "r"(y));
  return sum;
#else
  return x + y;
#endif
}

// FIPS 180-4, section 6.2.2, step 3. The names rotate from round to round instead of the values: `s` is indexed with
// constants.
template <int T>
__device__ __forceinline__ void round(uint32_t (&s)[8], uint32_t kw) {
  constexpr int a = (64 - T) & 7, b = (a + 1) & 7, c = (a + 2) & 7, d = (a + 3) & 7;
  constexpr int e = (a + 4) & 7, f = (a + 5) & 7, g = (a + 6) & 7, h = (a + 7) & 7;
  const uint32_t t1 = add(add(add(s[h], kw), bigSigma1(s[e])), choose(s[e], s[f], s[g]));
  s[d] = add(s[d], t1);
  s[h] = add(add(t1, bigSigma0(s[a])), majority(s[a], s[b], s[c]));
}

// Round T with its schedule word. Sixteen words are alive at a time; word t replaces word t - 16.
template <int T>
__device__ __forceinline__ void dataRound(uint32_t (&s)[8], uint32_t (&w)[16]) {
  if constexpr (T >= 16) {
    w[T & 15] = add(add(add(w[T & 15], smallSigma0(w[(T + 1) & 15])), w[(T + 9) & 15]), smallSigma1(w[(T + 14) & 15]));
  }
  round<T>(s, add(w[T & 15], RoundConstant<T>::value));
}

template <int T>
__device__ __forceinline__ void dataRounds(uint32_t (&s)[8], uint32_t (&w)[16]) {
  if constexpr (T < 64) {
    dataRound<T>(s, w);
    dataRounds<T + 1>(s, w);
  }
}

template <int T>
__device__ __forceinline__ void paddingRounds(uint32_t (&s)[8]) {
  if constexpr (T < 64) {
    round<T>(s, PaddingConstant<T>::value);
    paddingRounds<T + 1>(s);
  }
}

// Four schedule words from 16 bytes of the message.
__device__ __forceinline__ void load(uint32_t* w, const uint4 v) {
  w[0] = bigEndian(v.x);
  w[1] = bigEndian(v.y);
  w[2] = bigEndian(v.z);
  w[3] = bigEndian(v.w);
}

// The hash so far; at first, its initial value (FIPS 180-4, section 5.3.3).
struct State {
  uint32_t s[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
};

__device__ __forceinline__ void copy(uint32_t (&to)[8], const uint32_t (&from)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i++) to[i] = from[i];
}

// FIPS 180-4, section 6.2.2, step 4: the state before the rounds is added to the state after them.
__device__ __forceinline__ void accumulate(uint32_t (&s)[8], const uint32_t (&before)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i++) s[i] += before[i];
}

// Hashes a chunk of 64 bytes into the state. `before` is the caller's scratch.
__device__ __forceinline__ void compress(uint32_t (&s)[8], uint32_t (&before)[8], uint32_t (&w)[16]) {
  copy(before, s);
  dataRounds<0>(s, w);
  accumulate(s, before);
}

// The same after the last chunk, and the hash, big-endian, to memory.
__device__ __forceinline__ void storeHash(uint32_t (&s)[8], const uint32_t (&before)[8], uint4* to) {
#pragma unroll
  for (int i = 0; i < 8; i++) s[i] = bigEndian(s[i] + before[i]);
  to[0] = make_uint4(s[0], s[1], s[2], s[3]);
  to[1] = make_uint4(s[4], s[5], s[6], s[7]);
}

// Hashes the padding that follows 4096 bytes and stores the hash.
__device__ __forceinline__ void finish(uint32_t (&s)[8], uint32_t (&before)[8], uint4* to) {
  copy(before, s);
  paddingRounds<0>(s);
  storeHash(s, before, to);
}

// SHA-256 of the 4096 bytes at `from`; those behind its first `hashes` * 32 are not read but taken as zeros. kWhole: all are
// there.
template <bool kWhole>
__device__ __forceinline__ void hashBlock(const uint4* from, uint64_t hashes, uint4* to) {
  State state;
  uint32_t before[8];
#pragma unroll 1
  for (unsigned at = 0; at < kBlockVectors; at += kChunkVectors) {
    uint32_t w[16];
#pragma unroll
    for (unsigned v = 0; v < kChunkVectors; v++) {
      uint4 words = make_uint4(0, 0, 0, 0);
      if (kWhole || at / kHashVectors + v / kHashVectors < hashes) words = from[at + v];
      load(w + 4 * v, words);
    }
    compress(state.s, before, w);
  }
  finish(state.s, before, to);
}

__device__ __forceinline__ uint64_t threadIndex() { return static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

}  // namespace

#endif
