#include "execute.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>

#include "shared_memory.h"

// Results and sources are the same slot or different ones, never shifted against each other: lanes do not depend on lanes.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"  // loops that clang cannot vectorize are fine
#define VR_LANE_LOOP _Pragma("clang loop vectorize(assume_safety)")
#else
#define VR_LANE_LOOP _Pragma("GCC ivdep")
#endif

namespace emulator {
namespace {

constexpr uint32_t kNowhere = UINT32_MAX;

float asFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t asBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float flushed(float value, bool flush) {
  return flush && std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value) : value;
}

float halfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return asFloat(sign | 0x7f800000 | fraction << 13);
  if (exponent != 0) return asFloat(sign | (exponent + 112) << 23 | fraction << 13);
  return std::copysign(std::ldexp(static_cast<float>(fraction), -24), asFloat(sign));
}

// A register's low bits, extended to 64 by its type.
uint64_t extended(uint64_t value, Type type) {
  switch (type) {
    case Type::S8: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(value)));
    case Type::S16: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(value)));
    case Type::S32: return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(value)));
    default: break;
  }
  const unsigned bytes = bytesOf(type);
  return bytes >= 8 ? value : value & ((uint64_t{1} << 8 * bytes) - 1);
}

template <typename T>
T fromReal(float value) {
  if (std::isnan(value)) return 0;
  const double most = static_cast<double>(std::numeric_limits<T>::max()),
               least = static_cast<double>(std::numeric_limits<T>::min());
  if (value >= most) return std::numeric_limits<T>::max();
  if (value <= least) return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

uint64_t converted(uint64_t raw, Type from, Type to, bool flush) {
  if (from == Type::F16) return asBits(halfToFloat(static_cast<uint16_t>(raw)));
  if (from == Type::F32) {
    const float value = flushed(asFloat(static_cast<uint32_t>(raw)), flush);
    switch (to) {
      case Type::F32: return asBits(value);
      case Type::U8: return fromReal<uint8_t>(value);
      case Type::S8: return static_cast<uint64_t>(static_cast<int64_t>(fromReal<int8_t>(value)));
      case Type::U16: return fromReal<uint16_t>(value);
      case Type::S16: return static_cast<uint64_t>(static_cast<int64_t>(fromReal<int16_t>(value)));
      case Type::S32: return static_cast<uint64_t>(static_cast<int64_t>(fromReal<int32_t>(value)));
      case Type::S64: return static_cast<uint64_t>(fromReal<int64_t>(value));
      case Type::U64: return fromReal<uint64_t>(value);
      default: return fromReal<uint32_t>(value);
    }
  }
  const uint64_t value = extended(raw, from);
  if (to == Type::F32) {
    const bool isSigned = from == Type::S8 || from == Type::S16 || from == Type::S32 || from == Type::S64;
    return asBits(isSigned ? static_cast<float>(static_cast<int64_t>(value)) : static_cast<float>(value));
  }
  return extended(value, to);
}

uint32_t permuted(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  uint32_t result = 0;
  for (unsigned k = 0; k < 4; k++) {
    const uint32_t choice = selector >> 4 * k & 15;
    uint32_t byte = static_cast<uint32_t>(bytes >> 8 * (choice & 7)) & 255;
    if ((choice & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << 8 * k;
  }
  return result;
}

uint32_t logic(uint32_t a, uint32_t b, uint32_t c, unsigned table) {
  uint32_t result = 0;
  for (unsigned k = 0; k < 8; k++) {
    if ((table >> k & 1) == 0) continue;
    result |= ((k & 4) != 0 ? a : ~a) & ((k & 2) != 0 ? b : ~b) & ((k & 1) != 0 ? c : ~c);
  }
  return result;
}

uint32_t reversed(uint32_t x) {
  x = (x >> 1 & 0x55555555u) | (x & 0x55555555u) << 1;
  x = (x >> 2 & 0x33333333u) | (x & 0x33333333u) << 2;
  x = (x >> 4 & 0x0f0f0f0fu) | (x & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(x);
}

// Shared by the workers of one launch.
struct Run {
  const Launch& launch;
  std::atomic<uint64_t> nextBlock{0};
  std::atomic<bool> stopped{false};
  std::mutex mutex;
  Outcome outcome;

  explicit Run(const Launch& l) : launch(l) {}

  void fault(CUresult result, const Instruction& i, const std::string& what) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (outcome.result == CUDA_SUCCESS) {
      outcome.result = result;
      outcome.message = launch.kernel->name + ", PTX line " + std::to_string(i.line) + ": " + what;
    }
    stopped = true;
  }
};

class Warp {
 public:
  enum class State { Running, AtBarrier, Done };

  void prepare(const Kernel& kernel) {
    file_.assign(kernel.registerBytes / 8 + kLanes, 0);
    predicates_.assign(kernel.predicates + 1, 0);
    for (const Operand& o : kernel.constants) {
      if (o.wide) std::fill_n(wide(o), kLanes, o.value);
      else std::fill_n(narrow(o), kLanes, static_cast<uint32_t>(o.value));
    }
  }

  void begin(const Launch& launch, uint32_t warp, const uint32_t (&block)[3]) {
    const uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
    const uint32_t lanes = std::min(kLanes, threads - warp * kLanes);
    live_ = current_ = lanes == kLanes ? ~0u : (1u << lanes) - 1;
    number_ = warp;
    barriers_ = 0;
    pc_ = 0;
    parted_ = false;
    othersAt_ = kNowhere;
    steps_ = launch.budget;
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      const uint32_t thread = warp * kLanes + lane;
      special(Special::TidX)[lane] = thread % launch.block[0];
      special(Special::TidY)[lane] = thread / launch.block[0] % launch.block[1];
      special(Special::TidZ)[lane] = thread / launch.block[0] / launch.block[1];
      special(Special::LaneId)[lane] = lane;
      special(Special::WarpId)[lane] = warp;
      for (unsigned axis = 0; axis < 3; axis++) {
        special(Special::NtidX, axis)[lane] = launch.block[axis];
        special(Special::CtaidX, axis)[lane] = block[axis];
        special(Special::NctaidX, axis)[lane] = launch.grid[axis];
      }
    }
  }

  State run(Run& run, SharedMemory& shared);

 private:
  uint32_t* narrow(const Operand& o) {
    return reinterpret_cast<uint32_t*>(reinterpret_cast<uint8_t*>(file_.data()) + o.place);
  }
  uint64_t* wide(const Operand& o) {
    return reinterpret_cast<uint64_t*>(reinterpret_cast<uint8_t*>(file_.data()) + o.place);
  }
  uint32_t* special(Special s, unsigned axis = 0) { return special_[static_cast<unsigned>(s) + axis]; }
  uint64_t read(const Operand& o, unsigned lane) { return o.wide ? wide(o)[lane] : narrow(o)[lane]; }
  void write(const Operand& o, unsigned lane, uint64_t value) {
    if (o.wide) wide(o)[lane] = value;
    else narrow(o)[lane] = static_cast<uint32_t>(value);
  }

  // f(lane) for the lanes in `mask`. If every live lane takes part, dead ones may be computed as well: their results
  // are not read.
  template <typename F>
  void each(uint32_t mask, F f) {
    if (mask == live_) {
      VR_LANE_LOOP
      for (unsigned lane = 0; lane < kLanes; lane++) f(lane);
    } else {
      only(mask, f);
    }
  }
  template <typename F>
  void only(uint32_t mask, F f) {
    for (; mask != 0; mask &= mask - 1) f(static_cast<unsigned>(__builtin_ctz(mask)));
  }

  template <typename F>
  void narrow1(const Instruction& i, uint32_t mask, F f) {
    uint32_t* d = narrow(i.to[0]);
    const uint32_t* a = narrow(i.sources[0]);
    each(mask, [=](unsigned l) { d[l] = f(a[l]); });
  }
  template <typename F>
  void narrow2(const Instruction& i, uint32_t mask, F f) {
    uint32_t* d = narrow(i.to[0]);
    const uint32_t *a = narrow(i.sources[0]), *b = narrow(i.sources[1]);
    each(mask, [=](unsigned l) { d[l] = f(a[l], b[l]); });
  }
  template <typename F>
  void narrow3(const Instruction& i, uint32_t mask, F f) {
    uint32_t* d = narrow(i.to[0]);
    const uint32_t *a = narrow(i.sources[0]), *b = narrow(i.sources[1]), *c = narrow(i.sources[2]);
    each(mask, [=](unsigned l) { d[l] = f(a[l], b[l], c[l]); });
  }
  template <typename F>
  void wide1(const Instruction& i, uint32_t mask, F f) {
    uint64_t* d = wide(i.to[0]);
    const uint64_t* a = wide(i.sources[0]);
    each(mask, [=](unsigned l) { d[l] = f(a[l]); });
  }
  template <typename F>
  void wide2(const Instruction& i, uint32_t mask, F f) {
    uint64_t* d = wide(i.to[0]);
    const uint64_t *a = wide(i.sources[0]), *b = wide(i.sources[1]);
    each(mask, [=](unsigned l) { d[l] = f(a[l], b[l]); });
  }
  template <typename F>
  void wideShift(const Instruction& i, uint32_t mask, F f) {
    uint64_t* d = wide(i.to[0]);
    const uint64_t* a = wide(i.sources[0]);
    const uint32_t* b = narrow(i.sources[1]);
    each(mask, [=](unsigned l) { d[l] = f(a[l], b[l]); });
  }
  template <typename F>
  void real(const Instruction& i, uint32_t mask, F f) {
    uint32_t* d = narrow(i.to[0]);
    const uint32_t* a = narrow(i.sources[0]);
    const uint32_t* b = i.sources[1].kind == Operand::None ? a : narrow(i.sources[1]);
    const uint32_t* c = i.sources[2].kind == Operand::None ? a : narrow(i.sources[2]);
    const bool flush = i.flushDenormals, saturate = i.saturate;
    only(mask, [=](unsigned l) {
      float r = flushed(f(flushed(asFloat(a[l]), flush), flushed(asFloat(b[l]), flush), flushed(asFloat(c[l]), flush)),
                        flush);
      if (saturate) r = r > 0 ? std::min(r, 1.0f) : 0.0f;
      d[l] = asBits(r);
    });
  }

  void setPredicate(const Instruction& i, uint32_t mask, uint32_t value) {
    uint32_t& p = predicates_[i.to[0].place];
    p = (p & ~mask) | (value & mask);
  }
  template <typename T, typename U>
  void compare(const Instruction& i, uint32_t mask, const U* a, const U* b) {
    uint32_t value = 0;
    const Compare how = static_cast<Compare>(i.detail);
    for (unsigned l = 0; l < kLanes; l++) {
      const T x = static_cast<T>(a[l]), y = static_cast<T>(b[l]);
      bool holds = false;
      switch (how) {
        case Compare::Equal: holds = x == y; break;
        case Compare::NotEqual: holds = x != y; break;
        case Compare::Less: holds = x < y; break;
        case Compare::LessEqual: holds = x <= y; break;
        case Compare::Greater: holds = x > y; break;
        default: holds = x >= y; break;
      }
      value |= static_cast<uint32_t>(holds) << l;
    }
    setPredicate(i, mask, value);
  }
  void compareReal(const Instruction& i, uint32_t mask) {
    uint32_t value = 0;
    const bool unordered = (i.detail & static_cast<uint8_t>(Compare::Unordered)) != 0;
    only(mask, [&](unsigned l) {
      const float x = flushed(asFloat(narrow(i.sources[0])[l]), i.flushDenormals);
      const float y = flushed(asFloat(narrow(i.sources[1])[l]), i.flushDenormals);
      bool holds = unordered;
      if (!std::isnan(x) && !std::isnan(y)) {
        switch (static_cast<Compare>(i.detail & 7)) {
          case Compare::Equal: holds = x == y; break;
          case Compare::NotEqual: holds = x != y; break;
          case Compare::Less: holds = x < y; break;
          case Compare::LessEqual: holds = x <= y; break;
          case Compare::Greater: holds = x > y; break;
          default: holds = x >= y; break;
        }
      }
      value |= static_cast<uint32_t>(holds) << l;
    });
    setPredicate(i, mask, value);
  }

  // The bytes' place on the host, or null after a fault.
  uint8_t* reach(Run& run, SharedMemory& shared, const Instruction& i, unsigned lane, unsigned bytes, bool write);
  uint8_t* reachShared(Run& run, SharedMemory& shared, const Instruction& i, unsigned lane, uint64_t address,
                       unsigned bytes);
  bool memory(Run& run, SharedMemory& shared, const Instruction& i, uint32_t mask);
  void atomic(const Instruction& i, unsigned lane, uint8_t* at);

  // A barrier of the warp. Only one of all its living threads is emulated. False after a fault.
  bool meet(Run& run, const Instruction& i, uint32_t mask) {
    const char* wrong = mask != live_ ? "threads of a warp reach the barrier apart" : nullptr;
    only(mask, [&](unsigned l) {
      if ((narrow(i.sources[0])[l] & live_) != live_) wrong = "a barrier of some threads of a warp is not emulated";
    });
    if (wrong != nullptr) run.fault(CUDA_ERROR_LAUNCH_FAILED, i, wrong);
    barriers_++;
    return wrong == nullptr;
  }

  // After divergence: the lanes with the smallest pc continue until they reach the next group.
  void regroup() {
    pc_ = kNowhere;
    only(live_, [this](unsigned l) { pc_ = std::min(pc_, pcs_[l]); });
    current_ = 0;
    othersAt_ = kNowhere;
    only(live_, [this](unsigned l) {
      if (pcs_[l] == pc_) current_ |= 1u << l;
      else othersAt_ = std::min(othersAt_, pcs_[l]);
    });
    parted_ = current_ != live_;
  }
  void park(uint32_t mask, uint32_t pc) {
    only(mask, [=](unsigned l) { pcs_[l] = pc; });
  }

  std::vector<uint64_t> file_;
  std::vector<uint32_t> predicates_;
  alignas(64) uint32_t special_[static_cast<unsigned>(Special::Count)][kLanes] = {};
  uint32_t pcs_[kLanes] = {};
  uint32_t number_ = 0;    // of this warp in its block
  uint32_t barriers_ = 0;  // of this warp so far
  uint32_t live_ = 0, current_ = 0, pc_ = 0, othersAt_ = kNowhere;
  bool parted_ = false;
  uint64_t steps_ = 0;
  const Window* last_ = nullptr;
};

uint8_t* Warp::reachShared(Run& run, SharedMemory& shared, const Instruction& i, unsigned lane, uint64_t address,
                           unsigned bytes) {
  using Access = SharedMemory::Access;
  const Access access = i.op == Op::Load ? Access::Load : i.op == Op::Store ? Access::Store : Access::Atomic;
  const std::string name = access == Access::Load ? "load" : access == Access::Store ? "store" : "atomic";
  uint8_t* at = shared.at(address, bytes);
  if (at == nullptr) {
    run.fault(CUDA_ERROR_ILLEGAL_ADDRESS, i, name + " outside shared memory");
  } else if (!shared.note(access, ThreadPoint{number_, lane, barriers_}, at, bytes)) {
    run.fault(CUDA_ERROR_LAUNCH_FAILED, i, name + " in shared memory races with another thread: no barrier between them");
    at = nullptr;
  }
  return at;
}

uint8_t* Warp::reach(Run& run, SharedMemory& shared, const Instruction& i, unsigned lane, unsigned bytes, bool write) {
  const uint64_t address = read(i.sources[0], lane) + static_cast<uint64_t>(i.offset);
  if (address % bytes != 0) {
    run.fault(CUDA_ERROR_MISALIGNED_ADDRESS, i, "address is not a multiple of " + std::to_string(bytes));
    return nullptr;
  }
  if (i.space == Space::Shared) {
    return reachShared(run, shared, i, lane, i.sources[0].wide ? address : static_cast<uint32_t>(address), bytes);
  }
  const Window* window = last_;
  if (window == nullptr || address < window->begin || address >= window->end) {
    const std::vector<Window>& all = run.launch.windows;
    auto after =
        std::upper_bound(all.begin(), all.end(), address, [](uint64_t at, const Window& w) { return at < w.begin; });
    window = after == all.begin() ? nullptr : &*std::prev(after);
  }
  if (window == nullptr || address >= window->end || bytes > window->end - address) {
    run.fault(CUDA_ERROR_ILLEGAL_ADDRESS, i, std::string(write ? "store" : "load") + " outside every allocation");
    return nullptr;
  }
  if (!(write ? window->writable : window->readable)) {
    run.fault(CUDA_ERROR_ILLEGAL_ADDRESS, i,
              write ? "store to memory without write access" : "load from memory without read access");
    return nullptr;
  }
  last_ = window;
  return window->memory + (address - window->begin);
}

void Warp::atomic(const Instruction& i, unsigned lane, uint8_t* at) {
  const auto apply = [&](auto* cell, auto operand) {
    using T = decltype(operand);
    T old;
    __atomic_load(cell, &old, __ATOMIC_RELAXED);
    for (;;) {
      T next = operand;
      switch (static_cast<AtomicOp>(i.detail)) {
        case AtomicOp::Add: next = static_cast<T>(old + operand); break;
        case AtomicOp::Min: next = std::min(old, operand); break;
        case AtomicOp::Max: next = std::max(old, operand); break;
        case AtomicOp::And: next = old & operand; break;
        case AtomicOp::Or: next = old | operand; break;
        case AtomicOp::Xor: next = old ^ operand; break;
        case AtomicOp::Exchange: break;
      }
      if (__atomic_compare_exchange(cell, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
    }
  };
  uint64_t old = 0;
  const uint64_t operand = read(i.sources[1], lane);
  switch (i.type) {
    case Type::F32: {
      auto* cell = reinterpret_cast<uint32_t*>(at);
      uint32_t seen = __atomic_load_n(cell, __ATOMIC_RELAXED);
      while (!__atomic_compare_exchange_n(cell, &seen, asBits(asFloat(seen) + asFloat(static_cast<uint32_t>(operand))),
                                          false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      }
      old = seen;
      break;
    }
    case Type::S32: old = static_cast<uint32_t>(apply(reinterpret_cast<int32_t*>(at), static_cast<int32_t>(operand))); break;
    case Type::S64: old = static_cast<uint64_t>(apply(reinterpret_cast<int64_t*>(at), static_cast<int64_t>(operand))); break;
    case Type::B64: case Type::U64: old = apply(reinterpret_cast<uint64_t*>(at), operand); break;
    default: old = apply(reinterpret_cast<uint32_t*>(at), static_cast<uint32_t>(operand)); break;
  }
  if (i.to[0].kind == Operand::Register) write(i.to[0], lane, old);
}

// False after a fault.
bool Warp::memory(Run& run, SharedMemory& shared, const Instruction& i, uint32_t mask) {
  const bool isAtomic = i.op == Op::Atomic;
  const unsigned each = bytesOf(i.type), elements = isAtomic ? 1 : i.detail;
  for (; mask != 0; mask &= mask - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(mask));
    uint8_t* at = reach(run, shared, i, lane, each * elements, i.op != Op::Load);
    if (at == nullptr) return false;
    if (isAtomic) {
      atomic(i, lane, at);
      continue;
    }
    for (unsigned k = 0; k < elements; k++, at += each) {
      if (i.op == Op::Load) {
        uint64_t value = 0;
        std::memcpy(&value, at, each);
        write(i.to[k], lane, extended(value, i.type));
      } else {
        const uint64_t value = read(i.sources[k + 1], lane);
        std::memcpy(at, &value, each);
      }
    }
  }
  return true;
}

Warp::State Warp::run(Run& run, SharedMemory& shared) {
  const Kernel& kernel = *run.launch.kernel;
  const Instruction* code = kernel.code.data();
  using u32 = uint32_t;
  using s32 = int32_t;
  using u64 = uint64_t;
  using s64 = int64_t;
  for (;;) {
    if (parted_ && pc_ >= othersAt_) {
      park(current_, pc_);
      regroup();
    }
    const Instruction& i = code[pc_];
    if (steps_-- == 0) {
      run.fault(CUDA_ERROR_LAUNCH_TIMEOUT, i, "instruction budget used up");
      return State::Done;
    }
    u32 mask = current_;
    if (i.guarded) {
      const u32 p = predicates_[i.guard];
      mask &= i.guardNegated ? ~p : p;
      if (mask == 0) {
        pc_++;
        continue;
      }
    }
    switch (i.op) {
      case Op::Mov32: narrow1(i, mask, [](u32 a) { return a; }); break;
      case Op::Mov64: wide1(i, mask, [](u64 a) { return a; }); break;
      case Op::MovPredicate: setPredicate(i, mask, predicates_[i.sources[0].place]); break;
      case Op::MovSpecial: {
        u32* d = narrow(i.to[0]);
        const u32* a = special_[i.detail];
        each(mask, [=](unsigned l) { d[l] = a[l]; });
        break;
      }
      case Op::LoadParameter: {
        u64 value = 0;
        std::memcpy(&value, run.launch.parameters.data() + i.offset, bytesOf(i.type));
        value = extended(value, i.type);
        each(mask, [&](unsigned l) { write(i.to[0], l, value); });
        break;
      }
      case Op::Load: case Op::Store: case Op::Atomic:
        if (!memory(run, shared, i, mask)) return State::Done;
        break;
      case Op::Select32: {
        u32* d = narrow(i.to[0]);
        const u32 *a = narrow(i.sources[0]), *b = narrow(i.sources[1]), p = predicates_[i.sources[2].place];
        each(mask, [=](unsigned l) { d[l] = (p >> l & 1) != 0 ? a[l] : b[l]; });
        break;
      }
      case Op::Select64: {
        u64* d = wide(i.to[0]);
        const u64 *a = wide(i.sources[0]), *b = wide(i.sources[1]);
        const u32 p = predicates_[i.sources[2].place];
        each(mask, [=](unsigned l) { d[l] = (p >> l & 1) != 0 ? a[l] : b[l]; });
        break;
      }
      case Op::SelectPredicate: {
        const u32 p = predicates_[i.sources[2].place];
        setPredicate(i, mask, (predicates_[i.sources[0].place] & p) | (predicates_[i.sources[1].place] & ~p));
        break;
      }
      case Op::Convert:
        only(mask, [&](unsigned l) {
          write(i.to[0], l, converted(read(i.sources[0], l), i.from, i.type, i.flushDenormals));
        });
        break;

      case Op::Add32: narrow2(i, mask, [](u32 a, u32 b) { return a + b; }); break;
      case Op::AddConstant32: {
        const u32 b = static_cast<u32>(i.offset);
        narrow1(i, mask, [=](u32 a) { return a + b; });
        break;
      }
      case Op::Sub32: narrow2(i, mask, [](u32 a, u32 b) { return a - b; }); break;
      case Op::Mul32: narrow2(i, mask, [](u32 a, u32 b) { return a * b; }); break;
      case Op::MulHighU32: narrow2(i, mask, [](u32 a, u32 b) { return static_cast<u32>(u64{a} * b >> 32); }); break;
      case Op::MulHighS32:
        narrow2(i, mask, [](u32 a, u32 b) {
          return static_cast<u32>(static_cast<u64>(s64{static_cast<s32>(a)} * static_cast<s32>(b)) >> 32);
        });
        break;
      case Op::MulWideU32: case Op::MulWideS32: case Op::MadWideU32: case Op::MadWideS32: {
        u64* d = wide(i.to[0]);
        const u32 *a = narrow(i.sources[0]), *b = narrow(i.sources[1]);
        const bool isSigned = i.op == Op::MulWideS32 || i.op == Op::MadWideS32;
        const u64* c = i.sources[2].kind == Operand::None ? nullptr : wide(i.sources[2]);
        only(mask, [=](unsigned l) {
          const u64 product =
              isSigned ? static_cast<u64>(s64{static_cast<s32>(a[l])} * static_cast<s32>(b[l])) : u64{a[l]} * b[l];
          d[l] = product + (c == nullptr ? 0 : c[l]);
        });
        break;
      }
      case Op::Mad32: narrow3(i, mask, [](u32 a, u32 b, u32 c) { return a * b + c; }); break;
      // Division by zero gives all ones on a GPU, the remainder is the dividend.
      case Op::DivU32: narrow2(i, mask, [](u32 a, u32 b) { return b == 0 ? ~0u : a / b; }); break;
      case Op::RemU32: narrow2(i, mask, [](u32 a, u32 b) { return b == 0 ? a : a % b; }); break;
      case Op::DivS32: narrow2(i, mask, [](u32 a, u32 b) {
          return b == 0 ? ~0u : b == ~0u ? 0u - a : static_cast<u32>(static_cast<s32>(a) / static_cast<s32>(b)); });
        break;
      case Op::RemS32: narrow2(i, mask, [](u32 a, u32 b) {
          return b == 0 ? a : b == ~0u ? 0u : static_cast<u32>(static_cast<s32>(a) % static_cast<s32>(b)); });
        break;
      case Op::MinU32: narrow2(i, mask, [](u32 a, u32 b) { return a < b ? a : b; }); break;
      case Op::MaxU32: narrow2(i, mask, [](u32 a, u32 b) { return a > b ? a : b; }); break;
      case Op::MinS32:
        narrow2(i, mask, [](u32 a, u32 b) { return static_cast<s32>(a) < static_cast<s32>(b) ? a : b; });
        break;
      case Op::MaxS32:
        narrow2(i, mask, [](u32 a, u32 b) { return static_cast<s32>(a) > static_cast<s32>(b) ? a : b; });
        break;
      case Op::Abs32: narrow1(i, mask, [](u32 a) { return static_cast<s32>(a) < 0 ? 0u - a : a; }); break;
      case Op::Neg32: narrow1(i, mask, [](u32 a) { return 0u - a; }); break;
      case Op::And32: narrow2(i, mask, [](u32 a, u32 b) { return a & b; }); break;
      case Op::Or32: narrow2(i, mask, [](u32 a, u32 b) { return a | b; }); break;
      case Op::Xor32: narrow2(i, mask, [](u32 a, u32 b) { return a ^ b; }); break;
      case Op::Not32: narrow1(i, mask, [](u32 a) { return ~a; }); break;
      // Shifts by the width and more give zeros, or copies of the sign.
      case Op::Shl32: narrow2(i, mask, [](u32 a, u32 b) { return b > 31 ? 0u : a << b; }); break;
      case Op::ShrU32: narrow2(i, mask, [](u32 a, u32 b) { return b > 31 ? 0u : a >> b; }); break;
      case Op::ShrS32:
        narrow2(i, mask, [](u32 a, u32 b) { return static_cast<u32>(static_cast<s32>(a) >> (b > 31 ? 31 : b)); });
        break;
      case Op::ShrConstantU32: {
        const u32 b = static_cast<u32>(i.offset);
        narrow1(i, mask, [=](u32 a) { return a >> b; });
        break;
      }
      case Op::FunnelRight:
        narrow3(i, mask, [](u32 a, u32 b, u32 c) { return static_cast<u32>((u64{b} << 32 | a) >> (c & 31)); });
        break;
      case Op::FunnelLeft:
        narrow3(i, mask, [](u32 a, u32 b, u32 c) { return static_cast<u32>(((u64{b} << 32 | a) << (c & 31)) >> 32); });
        break;
      case Op::FunnelRightClamp:
        narrow3(i, mask, [](u32 a, u32 b, u32 c) { return static_cast<u32>((u64{b} << 32 | a) >> (c < 32 ? c : 32)); });
        break;
      case Op::FunnelLeftClamp:
        narrow3(i, mask,
                [](u32 a, u32 b, u32 c) { return static_cast<u32>(((u64{b} << 32 | a) << (c < 32 ? c : 32)) >> 32); });
        break;
      case Op::RotateConstant: {
        const u32 right = static_cast<u32>(i.offset), left = 32 - right;
        narrow1(i, mask, [=](u32 a) { return a >> right | a << left; });
        break;
      }
      case Op::Logic3: {
        const unsigned table = i.detail;
        narrow3(i, mask, [=](u32 a, u32 b, u32 c) { return logic(a, b, c, table); });
        break;
      }
      case Op::LogicXor3: narrow3(i, mask, [](u32 a, u32 b, u32 c) { return a ^ b ^ c; }); break;
      case Op::LogicChoose: narrow3(i, mask, [](u32 a, u32 b, u32 c) { return c ^ (a & (b ^ c)); }); break;
      case Op::LogicMajority: narrow3(i, mask, [](u32 a, u32 b, u32 c) { return (a & b) | (c & (a | b)); }); break;
      case Op::Permute: narrow3(i, mask, [](u32 a, u32 b, u32 c) { return permuted(a, b, c); }); break;
      case Op::ByteSwap:
        narrow1(i, mask, [](u32 a) { return a >> 24 | (a >> 8 & 0xff00) | (a << 8 & 0xff0000) | a << 24; });
        break;
      case Op::PopulationCount: narrow1(i, mask, [](u32 a) { return static_cast<u32>(__builtin_popcount(a)); }); break;
      case Op::LeadingZeros:
        narrow1(i, mask, [](u32 a) { return a == 0 ? 32u : static_cast<u32>(__builtin_clz(a)); });
        break;
      case Op::BitReverse: narrow1(i, mask, [](u32 a) { return reversed(a); }); break;

      case Op::Add64: wide2(i, mask, [](u64 a, u64 b) { return a + b; }); break;
      case Op::Sub64: wide2(i, mask, [](u64 a, u64 b) { return a - b; }); break;
      case Op::Mul64: wide2(i, mask, [](u64 a, u64 b) { return a * b; }); break;
      case Op::MulHighU64: wide2(i, mask, [](u64 a, u64 b) {
          const u64 al = a & 0xffffffff, ah = a >> 32, bl = b & 0xffffffff, bh = b >> 32;
          const u64 middle = ah * bl + (al * bl >> 32), low = (middle & 0xffffffff) + al * bh;
          return ah * bh + (middle >> 32) + (low >> 32); });
        break;
      case Op::Mad64: {
        u64* d = wide(i.to[0]);
        const u64 *a = wide(i.sources[0]), *b = wide(i.sources[1]), *c = wide(i.sources[2]);
        each(mask, [=](unsigned l) { d[l] = a[l] * b[l] + c[l]; });
        break;
      }
      case Op::DivU64: wide2(i, mask, [](u64 a, u64 b) { return b == 0 ? ~u64{0} : a / b; }); break;
      case Op::RemU64: wide2(i, mask, [](u64 a, u64 b) { return b == 0 ? a : a % b; }); break;
      case Op::DivS64: wide2(i, mask, [](u64 a, u64 b) {
          return b == 0 ? ~u64{0} : b == ~u64{0} ? 0 - a : static_cast<u64>(static_cast<s64>(a) / static_cast<s64>(b)); });
        break;
      case Op::RemS64: wide2(i, mask, [](u64 a, u64 b) {
          return b == 0 ? a : b == ~u64{0} ? 0 : static_cast<u64>(static_cast<s64>(a) % static_cast<s64>(b)); });
        break;
      case Op::MinU64: wide2(i, mask, [](u64 a, u64 b) { return a < b ? a : b; }); break;
      case Op::MaxU64: wide2(i, mask, [](u64 a, u64 b) { return a > b ? a : b; }); break;
      case Op::MinS64: wide2(i, mask, [](u64 a, u64 b) { return static_cast<s64>(a) < static_cast<s64>(b) ? a : b; }); break;
      case Op::MaxS64: wide2(i, mask, [](u64 a, u64 b) { return static_cast<s64>(a) > static_cast<s64>(b) ? a : b; }); break;
      case Op::Neg64: wide1(i, mask, [](u64 a) { return 0 - a; }); break;
      case Op::And64: wide2(i, mask, [](u64 a, u64 b) { return a & b; }); break;
      case Op::Or64: wide2(i, mask, [](u64 a, u64 b) { return a | b; }); break;
      case Op::Xor64: wide2(i, mask, [](u64 a, u64 b) { return a ^ b; }); break;
      case Op::Not64: wide1(i, mask, [](u64 a) { return ~a; }); break;
      case Op::Shl64: wideShift(i, mask, [](u64 a, u32 b) { return b > 63 ? 0 : a << b; }); break;
      case Op::ShrU64: wideShift(i, mask, [](u64 a, u32 b) { return b > 63 ? 0 : a >> b; }); break;
      case Op::ShrS64:
        wideShift(i, mask, [](u64 a, u32 b) { return static_cast<u64>(static_cast<s64>(a) >> (b > 63 ? 63 : b)); });
        break;

      case Op::CompareU32: compare<u32>(i, mask, narrow(i.sources[0]), narrow(i.sources[1])); break;
      case Op::CompareS32: compare<s32>(i, mask, narrow(i.sources[0]), narrow(i.sources[1])); break;
      case Op::CompareU64: compare<u64>(i, mask, wide(i.sources[0]), wide(i.sources[1])); break;
      case Op::CompareS64: compare<s64>(i, mask, wide(i.sources[0]), wide(i.sources[1])); break;
      case Op::CompareF32: compareReal(i, mask); break;
      case Op::AndPredicate: setPredicate(i, mask, predicates_[i.sources[0].place] & predicates_[i.sources[1].place]); break;
      case Op::OrPredicate: setPredicate(i, mask, predicates_[i.sources[0].place] | predicates_[i.sources[1].place]); break;
      case Op::XorPredicate: setPredicate(i, mask, predicates_[i.sources[0].place] ^ predicates_[i.sources[1].place]); break;
      case Op::NotPredicate: setPredicate(i, mask, ~predicates_[i.sources[0].place]); break;

      case Op::AddF32: real(i, mask, [](float a, float b, float) { return a + b; }); break;
      case Op::SubF32: real(i, mask, [](float a, float b, float) { return a - b; }); break;
      case Op::MulF32: real(i, mask, [](float a, float b, float) { return a * b; }); break;
      case Op::FmaF32: real(i, mask, [](float a, float b, float c) { return std::fma(a, b, c); }); break;
      case Op::DivF32: real(i, mask, [](float a, float b, float) { return a / b; }); break;
      case Op::MinF32: real(i, mask, [](float a, float b, float) { return std::fmin(a, b); }); break;
      case Op::MaxF32: real(i, mask, [](float a, float b, float) { return std::fmax(a, b); }); break;
      case Op::AbsF32: real(i, mask, [](float a, float, float) { return std::fabs(a); }); break;
      case Op::NegF32: real(i, mask, [](float a, float, float) { return -a; }); break;
      case Op::SqrtF32: real(i, mask, [](float a, float, float) { return std::sqrt(a); }); break;
      case Op::RsqrtF32: real(i, mask, [](float a, float, float) { return 1.0f / std::sqrt(a); }); break;
      case Op::RcpF32: real(i, mask, [](float a, float, float) { return 1.0f / a; }); break;
      case Op::Exp2F32: real(i, mask, [](float a, float, float) { return std::exp2(a); }); break;
      case Op::Log2F32: real(i, mask, [](float a, float, float) { return std::log2(a); }); break;

      case Op::Branch:
        if (run.stopped.load(std::memory_order_relaxed)) return State::Done;
        if (mask == current_) {
          pc_ = i.target;
          continue;
        }
        if (!parted_) park(live_ & ~current_, kNowhere);
        park(current_ & ~mask, pc_ + 1);
        park(mask, i.target);
        regroup();
        continue;
      case Op::Return:
        live_ &= ~mask;
        if (live_ == 0) return State::Done;
        if (mask != current_) {
          current_ &= ~mask;
          break;
        }
        regroup();
        continue;
      case Op::Barrier:
        if (current_ != live_) {
          run.fault(CUDA_ERROR_LAUNCH_FAILED, i, "threads of a warp reach the barrier apart");
          return State::Done;
        }
        pc_++;
        return State::AtBarrier;
      case Op::WarpBarrier:
        if (!meet(run, i, mask)) return State::Done;
        break;
      case Op::Nothing: break;
    }
    pc_++;
  }
}

void runBlock(Run& run, uint64_t number, std::vector<Warp>& warps, SharedMemory& shared) {
  const Launch& launch = run.launch;
  const uint32_t block[3] = {static_cast<uint32_t>(number % launch.grid[0]),
                             static_cast<uint32_t>(number / launch.grid[0] % launch.grid[1]),
                             static_cast<uint32_t>(number / launch.grid[0] / launch.grid[1])};
  const uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  const uint32_t count = (threads + kLanes - 1) / kLanes;
  shared.reset();
  if (!launch.kernel->barriers) {
    for (uint32_t w = 0; w < count && !run.stopped; w++) {
      warps[0].begin(launch, w, block);
      warps[0].run(run, shared);
    }
    return;
  }
  std::vector<uint32_t> waiting;
  for (uint32_t w = 0; w < count; w++) {
    warps[w].begin(launch, w, block);
    waiting.push_back(w);
  }
  while (!waiting.empty() && !run.stopped) {
    std::vector<uint32_t> again;
    for (uint32_t w : waiting)
      if (warps[w].run(run, shared) == Warp::State::AtBarrier) again.push_back(w);
    waiting.swap(again);
    shared.barrier();
  }
}

void work(Run& run) {
  const Launch& launch = run.launch;
  const uint64_t blocks = uint64_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  const uint32_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  std::vector<Warp> warps(launch.kernel->barriers ? (threads + kLanes - 1) / kLanes : 1);
  for (Warp& warp : warps) warp.prepare(*launch.kernel);
  SharedMemory shared(*launch.kernel);
  while (!run.stopped) {
    const uint64_t number = run.nextBlock.fetch_add(1, std::memory_order_relaxed);
    if (number >= blocks) return;
    runBlock(run, number, warps, shared);
  }
}

}  // namespace

Outcome execute(const Launch& launch) {
  Run run(launch);
  const uint64_t blocks = uint64_t{launch.grid[0]} * launch.grid[1] * launch.grid[2];
  std::vector<std::thread> others;
  for (unsigned k = 1; k < launch.workers && k < blocks; k++) others.emplace_back([&run] { work(run); });
  work(run);
  for (std::thread& other : others) other.join();
  return run.outcome;
}

}  // namespace emulator
