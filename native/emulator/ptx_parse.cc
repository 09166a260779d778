#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <unordered_map>

#include "ptx_text.h"

namespace emulator {

unsigned bytesOf(Type type) {
  switch (type) {
    case Type::B8: case Type::U8: case Type::S8: return 1;
    case Type::B16: case Type::U16: case Type::S16: case Type::F16: return 2;
    case Type::B64: case Type::U64: case Type::S64: return 8;
    case Type::Predicate: return 0;
    default: return 4;
  }
}

namespace {

constexpr uint32_t kMaxSharedBytes = 48 * 1024;
constexpr uint32_t kMaxDeclared = 1u << 24;

const std::unordered_map<std::string, Type> kTypes = {
    {"b8", Type::B8},   {"u8", Type::U8},   {"s8", Type::S8},   {"b16", Type::B16}, {"u16", Type::U16},
    {"s16", Type::S16}, {"b32", Type::B32}, {"u32", Type::U32}, {"s32", Type::S32}, {"f32", Type::F32},
    {"f16", Type::F16}, {"b64", Type::B64}, {"u64", Type::U64}, {"s64", Type::S64}, {"pred", Type::Predicate}};

const std::unordered_map<std::string, Special> kSpecials = {
    {"%tid.x", Special::TidX},       {"%tid.y", Special::TidY},       {"%tid.z", Special::TidZ},
    {"%ntid.x", Special::NtidX},     {"%ntid.y", Special::NtidY},     {"%ntid.z", Special::NtidZ},
    {"%ctaid.x", Special::CtaidX},   {"%ctaid.y", Special::CtaidY},   {"%ctaid.z", Special::CtaidZ},
    {"%nctaid.x", Special::NctaidX}, {"%nctaid.y", Special::NctaidY}, {"%nctaid.z", Special::NctaidZ},
    {"%laneid", Special::LaneId},    {"%warpid", Special::WarpId}};

bool wide(Type type) { return bytesOf(type) == 8; }
bool isSigned(Type t) { return t == Type::S8 || t == Type::S16 || t == Type::S32 || t == Type::S64; }

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts(1);
  for (char c : name) {
    if (c == '.') parts.emplace_back();
    else parts.back() += c;
  }
  return parts;
}

// One kernel's body.
class BodyParser {
 public:
  BodyParser(PtxText& text, Kernel& kernel) : text_(text), kernel_(kernel), scopes_(1) {}

  void parse() {
    text_.expect("{");
    for (unsigned depth = 1; depth > 0;) {
      if (text_.accept("{")) {
        if (++depth > 64) text_.fail("blocks nested too deep");
        scopes_.emplace_back();
      } else if (text_.accept("}")) {
        depth--;
        if (depth > 0) scopes_.pop_back();
      } else if (text_.ended()) {
        text_.fail("text ends inside a kernel");
      } else if (text_.word().front() == '.') {
        directive();
      } else {
        statement();
      }
    }
    Instruction end;
    end.op = Op::Return;
    end.line = text_.line();
    kernel_.code.push_back(end);
    for (const auto& [at, label] : jumps_) {
      const auto found = labels_.find(label);
      if (found == labels_.end()) throw PtxError(kernel_.code[at].line, "no label '" + label + "'");
      kernel_.code[at].target = found->second;
    }
    kernel_.predicates = predicates_;
    placeRegisters(kernel_, registers_);
  }

 private:
  struct Declared {
    Type type;
    uint32_t count;  // 0: the name itself, else name0 .. name(count - 1)
  };
  struct Known {
    Type type;
    uint32_t number;
  };
  struct Scope {
    std::unordered_map<std::string, Declared> declared;
    std::unordered_map<std::string, Known> known;
  };

  // ---- declarations

  Type type(const std::string& word) {
    const auto found = word.size() > 1 && word[0] == '.' ? kTypes.find(word.substr(1)) : kTypes.end();
    if (found == kTypes.end()) text_.fail("type '" + word + "' is not supported");
    return found->second;
  }

  uint32_t number(uint32_t most) {
    const int64_t value = integer();
    if (value < 0 || value > static_cast<int64_t>(most)) text_.fail("number out of range");
    return static_cast<uint32_t>(value);
  }

  void directive() {
    const std::string name = text_.take();
    if (name == ".reg") {
      const Type of = type(text_.take());
      do {
        const std::string reg = text_.take();
        if (reg.front() != '%' && !std::isalpha(static_cast<unsigned char>(reg.front())) && reg.front() != '_' &&
            reg.front() != '$')
          text_.fail("'" + reg + "' is not a register name");
        uint32_t count = 0;
        if (text_.accept("<")) {
          count = number(kMaxDeclared);
          text_.expect(">");
        }
        scopes_.back().declared[reg] = Declared{of, count};
      } while (text_.accept(","));
      text_.expect(";");
    } else if (name == ".shared") {
      uint32_t align = 1;
      if (text_.accept(".align")) align = number(256);
      if (align == 0 || (align & (align - 1)) != 0) text_.fail("alignment is not a power of two");
      const uint32_t each = bytesOf(type(text_.take()));
      const std::string variable = text_.take();
      uint32_t count = 1;
      if (text_.accept("[")) {
        count = number(kMaxSharedBytes);
        text_.expect("]");
      }
      text_.expect(";");
      align = std::max(align, each);
      const uint32_t begin = (kernel_.sharedBytes + align - 1) / align * align;
      if (begin + uint64_t{each} * count > kMaxSharedBytes) text_.fail("more than 48 KiB of shared memory");
      shared_[variable] = begin;
      kernel_.sharedBytes = begin + each * count;
    } else if (name == ".pragma") {
      text_.take();
      text_.expect(";");
    } else if (name == ".loc") {
      while (text_.word() != ";" && std::isdigit(static_cast<unsigned char>(text_.word()[0]))) text_.take();
    } else {
      text_.fail("directive '" + name + "' is not supported");
    }
  }

  // ---- operands

  const Known* find(const std::string& name) {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto known = scope->known.find(name);
      if (known != scope->known.end()) return &known->second;
      const Declared* declared = nullptr;
      const auto whole = scope->declared.find(name);
      if (whole != scope->declared.end() && whole->second.count == 0) declared = &whole->second;
      const size_t digits = name.find_last_not_of("0123456789") + 1;
      if (declared == nullptr && digits < name.size() && name.size() - digits <= 8) {
        const auto range = scope->declared.find(name.substr(0, digits));
        const bool leadingZero = name[digits] == '0' && digits + 1 < name.size();
        if (range != scope->declared.end() && !leadingZero && std::stoul(name.substr(digits)) < range->second.count)
          declared = &range->second;
      }
      if (declared == nullptr) continue;
      const uint32_t number = declared->type == Type::Predicate ? predicates_++ : registers_++;
      return &scope->known.emplace(name, Known{declared->type, number}).first->second;
    }
    return nullptr;
  }

  int64_t integer() {
    const bool negative = text_.accept("-");
    const std::string word = text_.take();
    if (!std::isdigit(static_cast<unsigned char>(word[0]))) text_.fail("'" + word + "' is not a number");
    std::string digits = word;
    if (digits.size() > 1 && digits.back() == 'U') digits.pop_back();
    char* end = nullptr;
    errno = 0;
    const uint64_t value = std::strtoull(digits.c_str(), &end, 0);
    if (*end != '\0' || errno != 0) text_.fail("'" + word + "' is not a number");
    return static_cast<int64_t>(negative ? 0 - value : value);
  }

  Operand constant(Type as) {
    Operand o;
    o.kind = Operand::Constant;
    o.wide = wide(as);
    const std::string& word = text_.word();
    if (word.size() == 10 && (word.compare(0, 2, "0f") == 0 || word.compare(0, 2, "0F") == 0)) {
      if (as != Type::F32 && as != Type::B32) text_.fail("an f32 constant here?");
      char* end = nullptr;
      o.value = std::strtoull(word.c_str() + 2, &end, 16);
      if (*end != '\0') text_.fail("'" + word + "' is not a number");
      text_.take();
      return o;
    }
    if (as == Type::F32) text_.fail("f32 constants are written 0fXXXXXXXX");
    o.value = static_cast<uint64_t>(integer());
    if (!o.wide) o.value = static_cast<uint32_t>(o.value);
    return o;
  }

  Operand registerOperand(Type as, bool anyWidth = false) {
    const std::string name = text_.take();
    const Known* known = find(name);
    if (known == nullptr) text_.fail("'" + name + "' is not declared");
    Operand o;
    o.value = known->number;
    if (as == Type::Predicate || known->type == Type::Predicate) {
      if (as != known->type) text_.fail("'" + name + "' has the wrong type");
      o.kind = Operand::PredicateRegister;
      return o;
    }
    const unsigned have = bytesOf(known->type), want = bytesOf(as);
    // Loads, stores and conversions may use a register that is wider than their type.
    if (have != want && !(anyWidth && have > want)) text_.fail("'" + name + "' has the wrong width");
    o.kind = Operand::Register;
    o.wide = have == 8;
    return o;
  }

  static bool startsNumber(const std::string& word) {
    return word == "-" || std::isdigit(static_cast<unsigned char>(word[0]));
  }

  Operand source(Type as, bool anyWidth = false) {
    if (text_.ended()) text_.fail("text ends too early");
    if (as != Type::Predicate && startsNumber(text_.word())) return constant(as);
    const auto variable = shared_.find(text_.word());
    if (variable != shared_.end() && as != Type::Predicate) {
      Operand o;
      o.kind = Operand::Constant;
      o.wide = wide(as);
      o.value = variable->second;
      text_.take();
      return o;
    }
    return registerOperand(as, anyWidth);
  }

  void comma() { text_.expect(","); }

  // [register], [register+n], [variable+n]; the first source operand.
  void address(Instruction& i) {
    text_.expect("[");
    const bool shared = i.space == Space::Shared;
    const auto variable = shared_.find(text_.word());
    if (variable != shared_.end() && shared) {
      i.sources[0].kind = Operand::Constant;
      i.sources[0].value = variable->second;
      text_.take();
    } else {
      const std::string name = text_.take();
      const Known* known = find(name);
      if (known == nullptr) text_.fail("'" + name + "' is not declared");
      i.sources[0].kind = Operand::Register;
      i.sources[0].value = known->number;
      i.sources[0].wide = bytesOf(known->type) == 8;
      const bool right = i.sources[0].wide || (shared && bytesOf(known->type) == 4);
      if (!right) text_.fail("'" + name + "' is not an address");
    }
    if (text_.accept("+")) i.offset = integer();
    else if (text_.is("-")) i.offset = integer();
    text_.expect("]");
  }

  // ---- instructions

  void statement() {
    const unsigned line = text_.line();
    Instruction i;
    i.line = line;
    if (text_.accept("@")) {
      i.guarded = true;
      i.guardNegated = text_.accept("!");
      i.guard = static_cast<uint32_t>(registerOperand(Type::Predicate).value);
    }
    const std::string name = text_.take();
    if (!i.guarded && text_.accept(":")) {
      if (!labels_.emplace(name, static_cast<uint32_t>(kernel_.code.size())).second)
        text_.fail("label '" + name + "' twice");
      return;
    }
    decode(i, name);
    text_.expect(";");
    kernel_.code.push_back(i);
  }

  [[noreturn]] void unknown(const std::string& name) { text_.fail("instruction '" + name + "' is not supported"); }

  void decode(Instruction& i, const std::string& name) {
    std::vector<std::string> parts = split(name);
    const std::string base = parts[0];
    parts.erase(parts.begin());
    const auto has = [&](const char* part) {
      for (size_t k = 0; k < parts.size(); k++) {
        if (parts[k] != part) continue;
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(k));
        return true;
      }
      return false;
    };
    const auto allUsed = [&] {
      if (!parts.empty()) unknown(name);
    };
    const auto lastType = [&] {
      if (parts.empty() || kTypes.count(parts.back()) == 0) unknown(name);
      const Type t = kTypes.at(parts.back());
      parts.pop_back();
      return t;
    };

    if (base == "bra") {
      has("uni");
      allUsed();
      i.op = Op::Branch;
      jumps_.emplace_back(static_cast<uint32_t>(kernel_.code.size()), text_.take());
      return;
    }
    if (base == "ret" || base == "exit") {
      has("uni");
      allUsed();
      i.op = Op::Return;
      return;
    }
    if (base == "bar" || base == "barrier") {
      if (has("warp")) {
        if (!has("sync")) unknown(name);
        allUsed();
        i.op = Op::WarpBarrier;
        i.sources[0] = source(Type::U32);  // lanes that meet, one bit each
        return;
      }
      if (!has("sync")) unknown(name);
      has("aligned");
      allUsed();
      if (integer() != 0) text_.fail("only barrier 0 is supported");
      if (i.guarded) text_.fail("a guarded barrier is not supported");
      i.op = Op::Barrier;
      kernel_.barriers = true;
      return;
    }
    if (base == "membar" || base == "fence") {
      return;  // threads of one launch run in program order, and atomics are atomic
    }
    const Type t = lastType();
    i.type = t;
    const bool w = wide(t);

    if (base == "ld" || base == "st" || base == "atom" || base == "red") return memory(i, base, name, parts, t);
    if (base == "cvta") {
      if (!w || !has("global")) unknown(name);
      has("to");
      allUsed();
      return simple(i, Op::Mov64, t, 1);
    }
    if (base == "mov") {
      allUsed();
      return move(i, t, name);
    }
    if (base == "setp") return compare(i, t, parts, name);
    if (base == "selp") {
      allUsed();
      i.op = t == Type::Predicate ? Op::SelectPredicate : w ? Op::Select64 : Op::Select32;
      if (t == Type::Predicate || bytesOf(t) < 4) unknown(name);
      i.to[0] = registerOperand(t);
      comma();
      i.sources[0] = source(t);
      comma();
      i.sources[1] = source(t);
      comma();
      i.sources[2] = registerOperand(Type::Predicate);
      return;
    }
    if (base == "cvt") return convert(i, t, parts, name);
    if (t == Type::F32) return real(i, base, parts, name);
    integers(i, base, t, parts, name);
  }

  void simple(Instruction& i, Op op, Type t, unsigned sources) {
    i.op = op;
    i.to[0] = registerOperand(t);
    for (unsigned k = 0; k < sources; k++) {
      comma();
      i.sources[k] = source(t);
    }
  }

  void move(Instruction& i, Type t, const std::string& name) {
    if (t == Type::Predicate) return simple(i, Op::MovPredicate, t, 1);
    if (bytesOf(t) == 1) unknown(name);
    i.to[0] = registerOperand(t);
    comma();
    const auto special = kSpecials.find(text_.word());
    if (special != kSpecials.end()) {
      if (bytesOf(t) != 4) unknown(name);
      i.op = Op::MovSpecial;
      i.detail = static_cast<uint8_t>(special->second);
      text_.take();
      return;
    }
    i.op = wide(t) ? Op::Mov64 : Op::Mov32;
    i.sources[0] = source(t);
  }

  void memory(Instruction& i, const std::string& base, const std::string& name, std::vector<std::string> parts, Type t) {
    bool parameter = false, space = false;
    unsigned vector = 1;
    std::string operation;
    for (const std::string& part : parts) {
      if (part == "global" || part == "shared" || part == "param") {
        if (space) unknown(name);
        space = true;
        i.space = part == "shared" ? Space::Shared : Space::Global;
        parameter = part == "param";
      } else if (part == "v2" || part == "v4") {
        vector = part == "v2" ? 2 : 4;
      } else if (part == "nc" || part == "ca" || part == "cg" || part == "cs" || part == "cv" || part == "volatile" ||
                 part == "relaxed" || part == "gpu" || part == "cta" || part == "sys" || part == "wb" || part == "wt" ||
                 part == "lu" || part == "weak") {
        continue;  // caching hints and orderings have no effect without a cache
      } else if (base == "atom" || base == "red") {
        if (!operation.empty()) unknown(name);
        operation = part;
      } else {
        unknown(name);
      }
    }
    if (!space || t == Type::Predicate || t == Type::F16) unknown(name);
    i.detail = static_cast<uint8_t>(vector);
    if (vector * bytesOf(t) > 16) unknown(name);

    if (base == "ld" && parameter) {
      if (vector != 1) unknown(name);
      i.op = Op::LoadParameter;
      i.to[0] = registerOperand(t, true);
      comma();
      text_.expect("[");
      const std::string name = text_.take();
      const int64_t extra = text_.accept("+") ? integer() : 0;
      text_.expect("]");
      for (const Parameter& p : kernel_.parameters) {
        if (p.name != name) continue;
        if (extra < 0 || extra > p.bytes || bytesOf(t) > p.bytes - extra) text_.fail("read past parameter '" + name + "'");
        i.offset = static_cast<int64_t>(p.offset) + extra;
        return;
      }
      text_.fail("no parameter '" + name + "'");
    }
    if (parameter) unknown(name);

    const auto elements = [&](Operand* operands, bool results) {
      const bool braced = text_.accept("{");
      if (braced != (vector > 1)) text_.fail("number of vector elements");
      for (unsigned k = 0; k < vector; k++) {
        if (k > 0) comma();
        operands[k] = results ? registerOperand(t, true) : source(t, true);
      }
      if (braced) text_.expect("}");
    };
    if (base == "ld") {
      i.op = Op::Load;
      elements(i.to, true);
      comma();
      address(i);
      return;
    }
    if (base == "st") {
      i.op = Op::Store;
      address(i);
      comma();
      elements(i.sources + 1, false);
      return;
    }
    static const std::unordered_map<std::string, AtomicOp> operations = {
        {"add", AtomicOp::Add}, {"min", AtomicOp::Min}, {"max", AtomicOp::Max},      {"and", AtomicOp::And},
        {"or", AtomicOp::Or},   {"xor", AtomicOp::Xor}, {"exch", AtomicOp::Exchange}};
    const auto found = operations.find(operation);
    if (found == operations.end() || vector != 1 || bytesOf(t) < 4) unknown(name);
    const bool bitwise = found->second != AtomicOp::Add && found->second != AtomicOp::Min && found->second != AtomicOp::Max;
    if (t == Type::F32 && found->second != AtomicOp::Add) unknown(name);
    if (!bitwise && (t == Type::B32 || t == Type::B64)) unknown(name);
    i.op = Op::Atomic;
    i.detail = static_cast<uint8_t>(found->second);
    if (base == "atom") {
      i.to[0] = registerOperand(t);
      comma();
    }
    address(i);
    comma();
    i.sources[1] = source(t);
  }

  void compare(Instruction& i, Type t, std::vector<std::string> parts, const std::string& name) {
    if (parts.empty()) unknown(name);
    i.flushDenormals = parts.size() == 2 && parts[1] == "ftz" && t == Type::F32;
    if (parts.size() > 1 && !i.flushDenormals) unknown(name);
    static const std::unordered_map<std::string, Compare> comparisons = {
        {"eq", Compare::Equal},     {"ne", Compare::NotEqual}, {"lt", Compare::Less},         {"le", Compare::LessEqual},
        {"gt", Compare::Greater},   {"ge", Compare::GreaterEqual}, {"lo", Compare::Less},     {"ls", Compare::LessEqual},
        {"hi", Compare::Greater},   {"hs", Compare::GreaterEqual}};
    std::string word = parts[0];
    bool unordered = false;
    if (t == Type::F32 && word.size() == 3 && word.back() == 'u') {
      unordered = true;
      word.pop_back();
    }
    const auto found = comparisons.find(word);
    if (found == comparisons.end() || t == Type::Predicate || bytesOf(t) < 4) unknown(name);
    i.detail = static_cast<uint8_t>(found->second);
    if (unordered) i.detail |= static_cast<uint8_t>(Compare::Unordered);
    if (t == Type::F32) i.op = Op::CompareF32;
    else if (wide(t)) i.op = isSigned(t) ? Op::CompareS64 : Op::CompareU64;
    else i.op = isSigned(t) ? Op::CompareS32 : Op::CompareU32;
    i.to[0] = registerOperand(Type::Predicate);
    comma();
    i.sources[0] = source(t);
    comma();
    i.sources[1] = source(t);
  }

  void convert(Instruction& i, Type from, std::vector<std::string> parts, const std::string& name) {
    if (parts.empty() || kTypes.count(parts.back()) == 0) unknown(name);
    const Type to = kTypes.at(parts.back());
    parts.pop_back();
    const bool real = to == Type::F32 || from == Type::F32 || to == Type::F16 || from == Type::F16;
    for (const std::string& part : parts) {
      const bool nearest = part == "rn" && to == Type::F32 && from != Type::F32 && from != Type::F16;
      const bool truncated = part == "rzi" && from == Type::F32;
      if (part == "ftz" && real) i.flushDenormals = true;
      else if (part == "sat" && !real) i.saturate = true;
      else if (!nearest && !truncated) unknown(name);
    }
    const bool halfRight = from == Type::F16 ? to == Type::F32 : to != Type::F16;
    const bool truncating = from == Type::F32 && to != Type::F32;
    bool rounded = false;
    for (const std::string& part : parts) rounded = rounded || part == "rzi" || part == "rn";
    const bool needed = truncating || (to == Type::F32 && from != Type::F32 && from != Type::F16);
    if (!halfRight || needed != rounded || i.saturate || to == Type::Predicate || from == Type::Predicate) unknown(name);
    i.op = Op::Convert;
    i.type = to;
    i.from = from;
    i.to[0] = registerOperand(to, true);
    comma();
    i.sources[0] = source(from, true);
  }

  void real(Instruction& i, const std::string& base, std::vector<std::string> parts, const std::string& name) {
    struct Form {
      Op op;
      unsigned sources;
      const char* rounding;  // "" none, "rn", "approx"; '|' between alternatives
      bool needed;
    };
    static const std::unordered_map<std::string, Form> forms = {
        {"add", {Op::AddF32, 2, "rn", false}},         {"sub", {Op::SubF32, 2, "rn", false}},
        {"mul", {Op::MulF32, 2, "rn", false}},         {"fma", {Op::FmaF32, 3, "rn", true}},
        {"mad", {Op::FmaF32, 3, "rn", true}},          {"div", {Op::DivF32, 2, "rn|approx|full", true}},
        {"min", {Op::MinF32, 2, "", false}},           {"max", {Op::MaxF32, 2, "", false}},
        {"abs", {Op::AbsF32, 1, "", false}},           {"neg", {Op::NegF32, 1, "", false}},
        {"sqrt", {Op::SqrtF32, 1, "rn|approx", true}}, {"rsqrt", {Op::RsqrtF32, 1, "approx", true}},
        {"rcp", {Op::RcpF32, 1, "rn|approx", true}},   {"ex2", {Op::Exp2F32, 1, "approx", true}},
        {"lg2", {Op::Log2F32, 1, "approx", true}}};
    const auto found = forms.find(base);
    if (found == forms.end()) unknown(name);
    bool rounded = false;
    for (const std::string& part : parts) {
      const std::string allowed = std::string("|") + found->second.rounding + "|";
      if (part == "ftz") i.flushDenormals = true;
      else if (part == "sat" && found->second.sources > 1) i.saturate = true;
      else if (!part.empty() && allowed.find("|" + part + "|") != std::string::npos) rounded = true;
      else unknown(name);
    }
    if (found->second.needed && !rounded) unknown(name);
    simple(i, found->second.op, Type::F32, found->second.sources);
  }

  // Operations with a second form by width or sign.
  static Op pick(Type t, Op narrowUnsigned, Op narrowSigned, Op wideUnsigned, Op wideSigned) {
    if (wide(t)) return isSigned(t) ? wideSigned : wideUnsigned;
    return isSigned(t) ? narrowSigned : narrowUnsigned;
  }

  void integers(Instruction& i, const std::string& base, Type t, const std::vector<std::string>& parts,
                const std::string& name) {
    const std::string mods = parts.empty() ? "" : parts.size() == 1 ? parts[0] : parts[0] + "." + parts[1];
    if (parts.size() > 2) unknown(name);
    const bool w = wide(t), s = isSigned(t), bits = t == Type::B32 || t == Type::B64 || t == Type::Predicate;
    const bool plain = mods.empty();
    if (t != Type::Predicate && bytesOf(t) < 4) unknown(name);

    if (base == "and" || base == "or" || base == "xor" || base == "not") {
      if (!bits || !plain) unknown(name);
      if (t == Type::Predicate) {
        const Op op = base == "and"   ? Op::AndPredicate
                      : base == "or"  ? Op::OrPredicate
                      : base == "xor" ? Op::XorPredicate
                                      : Op::NotPredicate;
        return simple(i, op, t, base == "not" ? 1 : 2);
      }
      if (base == "and") return simple(i, w ? Op::And64 : Op::And32, t, 2);
      if (base == "or") return simple(i, w ? Op::Or64 : Op::Or32, t, 2);
      if (base == "xor") return simple(i, w ? Op::Xor64 : Op::Xor32, t, 2);
      return simple(i, w ? Op::Not64 : Op::Not32, t, 1);
    }
    if (t == Type::Predicate) unknown(name);
    if (base == "shl" || base == "shr") {
      if (!plain || (base == "shl" && !bits)) unknown(name);
      i.op = base == "shl" ? (w ? Op::Shl64 : Op::Shl32) : pick(t, Op::ShrU32, Op::ShrS32, Op::ShrU64, Op::ShrS64);
      i.to[0] = registerOperand(t);
      comma();
      i.sources[0] = source(t);
      comma();
      i.sources[1] = source(Type::U32);
      return;
    }
    if (t == Type::B32) {
      if (base == "shf") {
        static const std::unordered_map<std::string, Op> forms = {{"l.wrap", Op::FunnelLeft},
                                                                  {"r.wrap", Op::FunnelRight},
                                                                  {"l.clamp", Op::FunnelLeftClamp},
                                                                  {"r.clamp", Op::FunnelRightClamp}};
        const auto found = forms.find(mods);
        if (found == forms.end()) unknown(name);
        return simple(i, found->second, t, 3);
      }
      if (base == "lop3" && plain) {
        simple(i, Op::Logic3, t, 3);
        comma();
        i.detail = static_cast<uint8_t>(number(255));
        if (i.detail == 0x96) i.op = Op::LogicXor3;
        if (i.detail == 0xca) i.op = Op::LogicChoose;
        if (i.detail == 0xe8) i.op = Op::LogicMajority;
        return;
      }
      if (base == "prmt" && plain) return simple(i, Op::Permute, t, 3);
      if (base == "popc" && plain) return simple(i, Op::PopulationCount, t, 1);
      if (base == "clz" && plain) return simple(i, Op::LeadingZeros, t, 1);
      if (base == "brev" && plain) return simple(i, Op::BitReverse, t, 1);
    }
    if (bits) unknown(name);
    if (plain) {
      if (base == "add") return simple(i, w ? Op::Add64 : Op::Add32, t, 2);
      if (base == "sub") return simple(i, w ? Op::Sub64 : Op::Sub32, t, 2);
      if (base == "div") return simple(i, pick(t, Op::DivU32, Op::DivS32, Op::DivU64, Op::DivS64), t, 2);
      if (base == "rem") return simple(i, pick(t, Op::RemU32, Op::RemS32, Op::RemU64, Op::RemS64), t, 2);
      if (base == "min") return simple(i, pick(t, Op::MinU32, Op::MinS32, Op::MinU64, Op::MinS64), t, 2);
      if (base == "max") return simple(i, pick(t, Op::MaxU32, Op::MaxS32, Op::MaxU64, Op::MaxS64), t, 2);
      if (base == "neg" && s) return simple(i, w ? Op::Neg64 : Op::Neg32, t, 1);
      if (base == "abs" && s && !w) return simple(i, Op::Abs32, t, 1);
    }
    if (base == "mul" && mods == "lo") return simple(i, w ? Op::Mul64 : Op::Mul32, t, 2);
    if (base == "mul" && mods == "hi" && !(w && s))
      return simple(i, w ? Op::MulHighU64 : s ? Op::MulHighS32 : Op::MulHighU32, t, 2);
    if (base == "mad" && mods == "lo") return simple(i, w ? Op::Mad64 : Op::Mad32, t, 3);
    if ((base == "mul" || base == "mad") && mods == "wide" && !w) {
      const bool mad = base == "mad";
      i.op = mad ? (s ? Op::MadWideS32 : Op::MadWideU32) : (s ? Op::MulWideS32 : Op::MulWideU32);
      i.to[0] = registerOperand(Type::U64);
      comma();
      i.sources[0] = source(t);
      comma();
      i.sources[1] = source(t);
      if (!mad) return;
      comma();
      i.sources[2] = source(Type::U64);
      return;
    }
    unknown(name);
  }

  PtxText& text_;
  Kernel& kernel_;
  std::vector<Scope> scopes_;
  std::unordered_map<std::string, uint32_t> shared_;
  std::unordered_map<std::string, uint32_t> labels_;
  std::vector<std::pair<uint32_t, std::string>> jumps_;
  uint32_t registers_ = 0, predicates_ = 0;
};

void parseParameters(PtxText& text, Kernel& kernel) {
  if (!text.accept("(")) return;
  if (text.accept(")")) return;
  do {
    text.expect(".param");
    if (text.accept(".align")) text.fail("parameters passed by value as structures are not supported");
    const std::string type = text.take();
    const auto found = type.size() > 1 ? kTypes.find(type.substr(1)) : kTypes.end();
    if (found == kTypes.end() || found->second == Type::Predicate) text.fail("type '" + type + "' is not supported");
    const uint32_t bytes = bytesOf(found->second);
    // The interpreter has no use for pointer attributes.
    if (text.accept(".ptr")) {
      text.accept(".global");
      if (text.accept(".align")) text.take();
    }
    const uint32_t offset = (kernel.parameterBytes + bytes - 1) / bytes * bytes;
    kernel.parameters.push_back(Parameter{text.take(), offset, bytes});
    kernel.parameterBytes = offset + bytes;
    if (kernel.parameterBytes > 4096) text.fail("more than 4096 bytes of parameters");
  } while (text.accept(","));
  text.expect(")");
}

uint32_t smallNumber(PtxText& text) {
  const std::string word = text.take();
  if (word.empty() || word.size() > 9 || word.find_first_not_of("0123456789") != std::string::npos)
    text.fail("'" + word + "' is not a number");
  return static_cast<uint32_t>(std::stoul(word));
}

void parseKernel(PtxText& text, Program& program) {
  auto kernel = std::make_shared<Kernel>();
  kernel->name = text.take();
  parseParameters(text, *kernel);
  while (text.word() == ".maxntid" || text.word() == ".reqntid" || text.word() == ".minnctapersm" ||
         text.word() == ".maxnreg") {
    const bool threads = text.word() == ".maxntid" || text.word() == ".reqntid";
    text.take();
    uint64_t product = 1;
    do product *= smallNumber(text);
    while (product <= 1024 && text.accept(","));
    if (threads && (product == 0 || product > 1024)) text.fail("more than 1024 threads in a block");
    if (threads) kernel->maxThreads = static_cast<uint32_t>(product);
  }
  BodyParser(text, *kernel).parse();
  const std::string name = kernel->name;
  if (!program.kernels.emplace(name, std::move(kernel)).second) text.fail("kernel '" + name + "' twice");
}

}  // namespace

Program parseProgram(const std::string& source) {
  PtxText text(source);
  Program program;
  text.expect(".version");
  const std::string version = text.take();
  const size_t dot = version.find('.');
  const bool versionRight = dot == 1 && version.size() == 3 && std::isdigit(static_cast<unsigned char>(version[0])) &&
                            std::isdigit(static_cast<unsigned char>(version[2]));
  if (!versionRight) text.fail("'" + version + "' is not a PTX version");
  program.versionMajor = version[0] - '0';
  program.versionMinor = version[2] - '0';
  text.expect(".target");
  const std::string target = text.take();
  const bool targetRight = target.size() >= 5 && target.size() <= 6 && target.compare(0, 3, "sm_") == 0 &&
                           target.find_first_not_of("0123456789", 3) == std::string::npos;
  if (!targetRight) text.fail("target '" + target + "' is not supported");
  program.target = std::stoi(target.substr(3));
  text.expect(".address_size");
  text.expect("64");
  while (!text.ended()) {
    if (text.accept(".visible") || text.accept(".weak")) continue;
    if (text.accept(".entry")) parseKernel(text, program);
    else text.fail("'" + text.word() + "' is not supported outside a kernel");
  }
  return program;
}

}  // namespace emulator
