// A file that one process at a time holds, for as long as it lives: flock(2), which Node's own modules do not have.
#ifndef VRAM_RESIDENCY_FILE_LOCK_H
#define VRAM_RESIDENCY_FILE_LOCK_H

#include "napi_glue.h"

namespace vram {

// (path) -> { lock, holder }. `lock` is a descriptor that closeDescriptor() gives back, or null where another one holds the
// file; `holder` is the process id that the holder wrote into it, or null. Makes the file where there is none; never waits.
napi_value lockFile(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
