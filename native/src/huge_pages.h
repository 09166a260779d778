// Larger pages for memory that is about to be filled.
#ifndef VRAM_RESIDENCY_HUGE_PAGES_H
#define VRAM_RESIDENCY_HUGE_PAGES_H

#include "napi_glue.h"

namespace vram {

// (bytes) -> whether the kernel accepted the advice to back the array with huge pages. Otherwise it allocates a page for
// each 4096 bytes when they are first written, which takes longer than writing them. Changes no bytes.
napi_value adviseHugePages(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
