#include "loaded_files.h"

#include <link.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>

namespace vram {

namespace {

// Text of any length, line by line.
class Lines {
 public:
  explicit Lines(const char* path) : file_(std::fopen(path, "re"), std::fclose) {}
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  ~Lines() { std::free(text_); }

  // False at the end, and where the file cannot be read.
  bool next(std::string& line) {
    if (file_ == nullptr) return false;
    const ssize_t length = getline(&text_, &capacity_, file_.get());
    if (length <= 0) return false;
    line.assign(text_, static_cast<std::size_t>(length));
    if (line.back() == '\n') line.pop_back();
    return true;
  }

 private:
  std::unique_ptr<FILE, int (*)(FILE*)> file_;
  char* text_ = nullptr;
  std::size_t capacity_ = 0;
};

struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  std::string path;
};

// Parses a hexadecimal number and leaves `at` after it. Written by hand, because strtoull with new headers is bound to a
// newer glibc.
uintptr_t hexadecimal(const std::string& text, std::size_t& at) {
  uintptr_t value = 0;
  for (; at < text.size(); at++) {
    const char digit = text[at];
    if (digit >= '0' && digit <= '9') {
      value = value * 16 + static_cast<uintptr_t>(digit - '0');
    } else if (digit >= 'a' && digit <= 'f') {
      value = value * 16 + static_cast<uintptr_t>(digit - 'a' + 10);
    } else {
      break;
    }
  }
  return value;
}

// proc(5): "begin-end rights offset device inode path"; spaces precede the path, which is absent for memory without a file.
Mapping parse(const std::string& line) {
  Mapping mapping;
  std::size_t at = 0;
  mapping.begin = hexadecimal(line, at);
  at++;
  mapping.end = hexadecimal(line, at);
  for (int field = 0; field < 4; field++) {
    at = line.find_first_not_of(' ', at);
    at = line.find(' ', at);
    if (at == std::string::npos) return mapping;
  }
  at = line.find_first_not_of(' ', at);
  if (at != std::string::npos) mapping.path = line.substr(at);
  return mapping;
}

struct Search {
  const std::vector<std::string>& words;
  std::vector<const void*> found;
  bool outOfMemory = false;
};

bool beginsWith(const char* path, const std::vector<std::string>& words) {
  const std::string name(path);
  // npos + 1 is 0: a name without a folder.
  const std::size_t file = name.rfind('/') + 1;
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return name.compare(file, word.size(), word) == 0; });
}

// No exception may cross the loader, which holds a lock while it calls this.
int visit(dl_phdr_info* library, std::size_t, void* data) noexcept {
  Search& search = *static_cast<Search*>(data);
  try {
    if (library->dlpi_name == nullptr || !beginsWith(library->dlpi_name, search.words)) return 0;
    for (int i = 0; i < library->dlpi_phnum; i++) {
      const auto& part = library->dlpi_phdr[i];
      if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
      search.found.push_back(reinterpret_cast<const void*>(library->dlpi_addr + part.p_vaddr));
      return 0;
    }
    return 0;
  } catch (const std::exception&) {
    search.outOfMemory = true;
    return 1;
  }
}

}  // namespace

std::vector<std::string> loadedFrom(const std::vector<const void*>& places) {
  std::vector<Mapping> mappings;
  Lines lines("/proc/self/maps");
  for (std::string line; lines.next(line);) mappings.push_back(parse(line));
  std::vector<std::string> files;
  if (mappings.empty()) return files;
  for (const void* place : places) {
    const auto address = reinterpret_cast<uintptr_t>(place);
    const auto holds = [address](const Mapping& mapping) { return address >= mapping.begin && address < mapping.end; };
    const auto found = std::find_if(mappings.begin(), mappings.end(), holds);
    const std::string path = found == mappings.end() ? std::string() : found->path;
    if (std::find(files.begin(), files.end(), path) == files.end()) files.push_back(path);
  }
  return files;
}

std::vector<const void*> librariesNamed(const std::vector<std::string>& words) {
  Search search{words, {}, false};
  dl_iterate_phdr(visit, &search);
  if (search.outOfMemory) throw std::bad_alloc();
  return std::move(search.found);
}

}  // namespace vram
