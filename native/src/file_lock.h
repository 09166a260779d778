// A file that one process at a time can lock, for as long as it lives: flock(2), which Node's own modules do not offer.
#ifndef VRAM_RESIDENCY_FILE_LOCK_H
#define VRAM_RESIDENCY_FILE_LOCK_H

#include "napi_glue.h"

namespace vram {

// (path) -> { lock, holder }. `lock` is a descriptor, released by closeDescriptor(), or null if another process holds the
// file; `holder` is the process id that the holder wrote into it, or null. Creates a missing file; never blocks.
napi_value lockFile(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
