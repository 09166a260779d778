// The words of PTX text, each with its line number.
#ifndef VRAM_RESIDENCY_EMULATOR_PTX_TEXT_H
#define VRAM_RESIDENCY_EMULATOR_PTX_TEXT_H

#include <cctype>
#include <cstring>
#include <string>

#include "ptx.h"

namespace emulator {

class PtxText {
 public:
  explicit PtxText(const std::string& text) : text_(text) { advance(); }

  const std::string& word() const { return word_; }
  unsigned line() const { return wordLine_; }
  bool ended() const { return word_.empty(); }
  bool is(const char* expected) const { return word_ == expected; }

  [[noreturn]] void fail(const std::string& what) const { throw PtxError(wordLine_, what); }

  std::string take() {
    if (ended()) fail("text ends too early");
    std::string taken = word_;
    advance();
    return taken;
  }
  bool accept(const char* expected) {
    if (!is(expected)) return false;
    advance();
    return true;
  }
  void expect(const char* expected) {
    if (accept(expected)) return;
    fail(std::string("expected '") + expected + "', found '" + (ended() ? "end of text" : word_) + "'");
  }

 private:
  static bool wordCharacter(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
  }

  void skipBlanks() {
    for (; at_ < text_.size(); at_++) {
      const char c = text_[at_];
      if (c == '\n') {
        line_++;
      } else if (c == '/' && text_.compare(at_, 2, "//") == 0) {
        while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') at_++;
      } else if (c == '/' && text_.compare(at_, 2, "/*") == 0) {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string::npos) throw PtxError(line_, "comment without end");
        for (; at_ < end + 1; at_++) line_ += text_[at_] == '\n';
      } else if (c != ' ' && c != '\t' && c != '\r') {
        return;
      }
    }
  }

  void advance() {
    skipBlanks();
    wordLine_ = line_;
    word_.clear();
    if (at_ == text_.size()) return;
    const size_t begin = at_;
    if (text_[at_] == '"') {
      const size_t end = text_.find_first_of("\"\n", at_ + 1);
      if (end == std::string::npos || text_[end] == '\n') throw PtxError(line_, "string without end");
      at_ = end + 1;
    } else if (wordCharacter(text_[at_])) {
      while (at_ < text_.size() && wordCharacter(text_[at_])) at_++;
    } else if (text_[at_] != '\0' && std::strchr("{}()[]<>,;:@!+-=|", text_[at_]) != nullptr) {
      at_++;
    } else {
      throw PtxError(line_, "unexpected character " + std::to_string(static_cast<unsigned char>(text_[at_])));
    }
    word_.assign(text_, begin, at_ - begin);
  }

  const std::string& text_;
  size_t at_ = 0;
  unsigned line_ = 1, wordLine_ = 1;
  std::string word_;
};

}  // namespace emulator

#endif
