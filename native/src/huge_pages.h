// Larger pages for memory that is about to be filled.
#ifndef VRAM_RESIDENCY_HUGE_PAGES_H
#define VRAM_RESIDENCY_HUGE_PAGES_H

#include "napi_glue.h"

namespace vram {

// (bytes) -> whether the kernel took the advice to back the array with huge pages. It finds a page for each 4096 bytes when
// they are first written otherwise, which takes longer than writing them. Changes no byte.
napi_value adviseHugePages(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
