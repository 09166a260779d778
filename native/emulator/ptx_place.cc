// Compilers write PTX with a fresh register for every value: thousands in an unrolled hash, which would not fit into
// the caches. Liveness over basic blocks maps them to a few dozen slots.
#include <algorithm>
#include <unordered_map>

#include "ptx.h"

namespace emulator {
namespace {

constexpr uint32_t kNever = UINT32_MAX;

struct Block {
  uint32_t begin, end;
  std::vector<uint32_t> next;
  std::vector<bool> uses, defines, liveIn, liveOut;
};

template <typename F>
void eachSource(Instruction& i, F f) {
  for (Operand& o : i.sources)
    if (o.kind != Operand::None) f(o);
}

template <typename F>
void eachResult(Instruction& i, F f) {
  for (Operand& o : i.to)
    if (o.kind != Operand::None) f(o);
}

// A register written once, unconditionally, by a mov of a constant is that constant wherever it is read.
void propagateConstants(Kernel& kernel, uint32_t registers) {
  std::vector<uint32_t> writes(registers, 0), writer(registers, kNever);
  for (uint32_t at = 0; at < kernel.code.size(); at++) {
    eachResult(kernel.code[at], [&](Operand& o) {
      if (o.kind != Operand::Register) return;
      writes[o.value]++;
      writer[o.value] = at;
    });
  }
  for (Instruction& i : kernel.code) {
    eachSource(i, [&](Operand& o) {
      if (o.kind != Operand::Register || writes[o.value] != 1) return;
      const Instruction& source = kernel.code[writer[o.value]];
      const bool plain = (source.op == Op::Mov32 || source.op == Op::Mov64) && !source.guarded;
      if (!plain || source.sources[0].kind != Operand::Constant) return;
      const Operand constant = source.sources[0];
      o.kind = Operand::Constant;
      o.value = o.wide ? constant.value : static_cast<uint32_t>(constant.value);
    });
  }
}

// The forms that hot loops consist of.
void specialise(Instruction& i) {
  Operand& a = i.sources[0];
  Operand& b = i.sources[1];
  Operand& c = i.sources[2];
  switch (i.op) {
    case Op::Add32:
      if (a.kind == Operand::Constant && b.kind == Operand::Register) std::swap(a, b);
      if (b.kind != Operand::Constant) return;
      i.op = Op::AddConstant32;
      break;
    case Op::ShrU32:
      if (b.kind != Operand::Constant || b.value > 31) return;
      i.op = Op::ShrConstantU32;
      break;
    case Op::FunnelRight:
      if (c.kind != Operand::Constant || a.kind != Operand::Register || b.kind != Operand::Register ||
          a.value != b.value)
        return;
      if ((c.value & 31) == 0) return;
      i.op = Op::RotateConstant;
      b = c;
      b.value &= 31;
      c = Operand{};
      break;
    case Op::Permute:
      if (b.kind != Operand::Constant || c.kind != Operand::Constant || b.value != 0 || (c.value & 0xffff) != 0x0123) return;
      i.op = Op::ByteSwap;
      b = c = Operand{};
      return;
    default:
      return;
  }
  i.offset = static_cast<int64_t>(b.value);
  b = Operand{};
}

std::vector<Block> cutIntoBlocks(const Kernel& kernel) {
  const uint32_t size = static_cast<uint32_t>(kernel.code.size());
  std::vector<bool> leader(size + 1, false);
  leader[0] = true;
  for (uint32_t at = 0; at < size; at++) {
    const Instruction& i = kernel.code[at];
    if (i.op == Op::Branch) leader[i.target] = true;
    if (i.op == Op::Branch || i.op == Op::Return) leader[at + 1] = true;
  }
  std::vector<Block> blocks;
  std::vector<uint32_t> blockOf(size + 1, kNever);
  for (uint32_t at = 0; at < size; at++) {
    if (leader[at]) blocks.push_back(Block{at, at, {}, {}, {}, {}, {}});
    blocks.back().end = at + 1;
    blockOf[at] = static_cast<uint32_t>(blocks.size() - 1);
  }
  for (Block& block : blocks) {
    const Instruction& last = kernel.code[block.end - 1];
    if (last.op == Op::Branch && blockOf[last.target] != kNever) block.next.push_back(blockOf[last.target]);
    const bool leaves = (last.op == Op::Branch || last.op == Op::Return) && !last.guarded;
    if (!leaves && block.end < size) block.next.push_back(blockOf[block.end]);
  }
  return blocks;
}

void computeLiveness(Kernel& kernel, std::vector<Block>& blocks, uint32_t registers) {
  for (Block& block : blocks) {
    block.uses.assign(registers, false);
    block.defines.assign(registers, false);
    block.liveOut.assign(registers, false);
    for (uint32_t at = block.begin; at < block.end; at++) {
      Instruction& i = kernel.code[at];
      eachSource(i, [&](Operand& o) {
        if (o.kind == Operand::Register && !block.defines[o.value]) block.uses[o.value] = true;
      });
      eachResult(i, [&](Operand& o) {
        if (o.kind != Operand::Register) return;
        // A guarded write keeps the old value in some lanes: it is a use as well.
        if (i.guarded && !block.defines[o.value]) block.uses[o.value] = true;
        else block.defines[o.value] = true;
      });
    }
    block.liveIn = block.uses;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = blocks.size(); b-- > 0;) {
      Block& block = blocks[b];
      for (uint32_t next : block.next) {
        const std::vector<bool>& in = blocks[next].liveIn;
        for (uint32_t r = 0; r < registers; r++) {
          if (!in[r] || block.liveOut[r]) continue;
          block.liveOut[r] = true;
          if (!block.defines[r] && !block.liveIn[r]) block.liveIn[r] = true;
          changed = true;
        }
      }
    }
  }
}

struct Interval {
  uint32_t reg, begin = kNever, end = 0;
  bool wide = false, seen = false;
  void cover(uint32_t at) {
    begin = std::min(begin, at);
    end = std::max(end, at);
    seen = true;
  }
};

std::vector<Interval> intervalsOf(Kernel& kernel, const std::vector<Block>& blocks, uint32_t registers) {
  std::vector<Interval> intervals(registers);
  for (uint32_t r = 0; r < registers; r++) intervals[r].reg = r;
  for (uint32_t at = 0; at < kernel.code.size(); at++) {
    const auto cover = [&](Operand& o) {
      if (o.kind != Operand::Register) return;
      intervals[o.value].cover(at);
      intervals[o.value].wide = o.wide;
    };
    eachSource(kernel.code[at], cover);
    eachResult(kernel.code[at], cover);
  }
  for (const Block& block : blocks) {
    for (uint32_t r = 0; r < registers; r++) {
      if (block.liveIn[r]) intervals[r].cover(block.begin);
      if (block.liveOut[r]) intervals[r].cover(block.end);
    }
  }
  intervals.erase(std::remove_if(intervals.begin(), intervals.end(), [](const Interval& i) { return !i.seen; }),
                  intervals.end());
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  return intervals;
}

}  // namespace

void placeRegisters(Kernel& kernel, uint32_t registers) {
  propagateConstants(kernel, registers);
  for (Instruction& i : kernel.code) specialise(i);
  std::vector<Block> blocks = cutIntoBlocks(kernel);
  computeLiveness(kernel, blocks, registers);

  std::vector<uint32_t> place(registers, 0);
  std::vector<Interval> active;
  std::vector<uint32_t> vacant[2];  // narrow, wide
  for (const Interval& interval : intervalsOf(kernel, blocks, registers)) {
    // Vector loads write all their results before the next lane's address is read, so a slot is free only after its last
    // use.
    for (size_t k = 0; k < active.size();) {
      if (active[k].end >= interval.begin) {
        k++;
        continue;
      }
      vacant[active[k].wide].push_back(place[active[k].reg]);
      active[k] = active.back();
      active.pop_back();
    }
    std::vector<uint32_t>& free = vacant[interval.wide];
    if (free.empty()) {
      place[interval.reg] = kernel.registerBytes;
      kernel.registerBytes += kLanes * (interval.wide ? 8 : 4);
      kernel.placedRegisters++;
    } else {
      place[interval.reg] = free.back();
      free.pop_back();
    }
    active.push_back(interval);
  }

  std::map<std::pair<bool, uint64_t>, uint32_t> constants;
  for (Instruction& i : kernel.code) {
    const auto settle = [&](Operand& o) {
      if (o.kind == Operand::PredicateRegister) o.place = static_cast<uint32_t>(o.value);
      if (o.kind == Operand::Register) o.place = place[o.value];
      if (o.kind != Operand::Constant) return;
      const auto [found, added] = constants.try_emplace({o.wide, o.value}, kernel.registerBytes);
      if (added) kernel.registerBytes += kLanes * (o.wide ? 8 : 4);
      o.place = found->second;
      if (added) kernel.constants.push_back(o);
    };
    eachSource(i, settle);
    eachResult(i, settle);
  }
}

}  // namespace emulator
