// PTX text decoded into a compact form that the interpreter runs. Only the subset that integer kernels and simple f32
// kernels use; everything else is refused by name, never skipped.
#ifndef VRAM_RESIDENCY_EMULATOR_PTX_H
#define VRAM_RESIDENCY_EMULATOR_PTX_H

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace emulator {

// Threads that run in lock-step: a warp.
constexpr unsigned kLanes = 32;

enum class Op : uint16_t {
  // data movement
  Mov32, Mov64, MovPredicate, MovSpecial, LoadParameter, Load, Store, Atomic, Select32, Select64, SelectPredicate, Convert,
  // 32-bit integers
  Add32, AddConstant32, Sub32, Mul32, MulHighU32, MulHighS32, MulWideU32, MulWideS32, Mad32, MadWideU32, MadWideS32,
  DivU32, DivS32, RemU32, RemS32, MinU32, MinS32, MaxU32, MaxS32, Abs32, Neg32, And32, Or32, Xor32, Not32, Shl32,
  ShrU32, ShrS32, ShrConstantU32, FunnelRight, FunnelLeft, FunnelRightClamp, FunnelLeftClamp, RotateConstant, Logic3,
  LogicXor3, LogicChoose, LogicMajority, Permute, ByteSwap, PopulationCount, LeadingZeros, BitReverse,
  // 64-bit integers
  Add64, Sub64, Mul64, MulHighU64, Mad64, DivU64, DivS64, RemU64, RemS64, MinU64, MinS64, MaxU64, MaxS64, Neg64,
  And64, Or64, Xor64, Not64, Shl64, ShrU64, ShrS64,
  // predicates
  CompareU32, CompareS32, CompareU64, CompareS64, CompareF32, AndPredicate, OrPredicate, XorPredicate, NotPredicate,
  // f32
  AddF32, SubF32, MulF32, FmaF32, DivF32, MinF32, MaxF32, AbsF32, NegF32, SqrtF32, RsqrtF32, RcpF32, Exp2F32, Log2F32,
  // control
  Branch, Return, Barrier, WarpBarrier, Nothing,
};

enum class Type : uint8_t { B8, U8, S8, B16, U16, S16, B32, U32, S32, F32, F16, B64, U64, S64, Predicate };
unsigned bytesOf(Type type);

// Unordered is a flag, for f32 only.
enum class Compare : uint8_t { Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, Unordered = 8 };
enum class Space : uint8_t { Global, Shared };
enum class AtomicOp : uint8_t { Add, Min, Max, And, Or, Xor, Exchange };
enum class Special : uint8_t {
  TidX, TidY, TidZ, NtidX, NtidY, NtidZ, CtaidX, CtaidY, CtaidZ, NctaidX, NctaidY, NctaidZ, LaneId, WarpId, Count
};

// An operand: the name before registers are placed, and the place of its 32 lanes afterwards.
struct Operand {
  enum Kind : uint8_t { None, Register, Constant, PredicateRegister } kind = None;
  bool wide = false;      // 64 bits a lane
  uint64_t value = 0;     // register number, or the constant itself
  uint32_t place = 0;     // byte offset in the register file; number of a predicate
};

struct Instruction {
  Op op = Op::Nothing;
  Type type = Type::B32;       // of memory accesses, and the result of a conversion
  Type from = Type::B32;       // the source of a conversion
  uint8_t detail = 0;          // Compare, AtomicOp, Special, truth table or elements of a vector, as the operation needs
  Space space = Space::Global;
  bool flushDenormals = false;
  bool saturate = false;
  bool guarded = false, guardNegated = false;
  uint32_t guard = 0;          // predicate number
  uint32_t target = 0;         // of a branch: instruction number
  uint32_t line = 0;           // in the text
  int64_t offset = 0;          // of an address; of a parameter
  Operand to[4];               // results: vector loads have up to four
  Operand sources[5];            // sources; of memory accesses the address, then up to four values
};

struct Parameter {
  std::string name;
  uint32_t offset;
  uint32_t bytes;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameterBytes = 0;
  uint32_t maxThreads = 1024;
  uint32_t sharedBytes = 0;
  bool barriers = false;
  std::vector<Instruction> code;
  uint32_t predicates = 0;
  // Register file of a warp: bytes in all, and the constants to be broadcast into it before the first instruction.
  uint32_t registerBytes = 0;
  uint32_t placedRegisters = 0;
  std::vector<Operand> constants;
};

struct Program {
  int versionMajor = 0, versionMinor = 0;
  int target = 0;  // 75 for sm_75
  std::map<std::string, std::shared_ptr<Kernel>> kernels;
};

struct PtxError : std::runtime_error {
  PtxError(unsigned line, const std::string& what) : std::runtime_error("line " + std::to_string(line) + ": " + what) {}
};

// Errors: PtxError, naming the line.
Program parseProgram(const std::string& text);

// Allocates the kernel's registers: those that hold one constant become constants, the others share slots by liveness.
void placeRegisters(Kernel& kernel, uint32_t registers);

}  // namespace emulator

#endif
