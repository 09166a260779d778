#include "huge_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace vram {

napi_value adviseHugePages(napi_env env, const Arguments& arguments) {
  const TypedBytes bytes = toBytes(env, arguments[0], "bytes", "a Uint8Array");
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(bytes.data);
  // Only pages that lie wholly inside: the first and the last may hold other data too.
  const uintptr_t begin = (address + page - 1) & ~(page - 1);
  const uintptr_t end = (address + bytes.length) & ~(page - 1);
  const bool taken = begin < end && ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE) == 0;
  return makeBoolean(env, taken);
}

}  // namespace vram
