// What libraries write to stderr during one call.
#ifndef VRAM_RESIDENCY_HELD_STDERR_H
#define VRAM_RESIDENCY_HELD_STDERR_H

#include "napi_glue.h"

namespace vram {

// (call) -> { value, text }: calls it with the process's stderr in a file in memory, and gives what it returned and what was
// written there by whatever thread. Where stderr cannot be held, it stays as it is and the text is empty. What the call
// throws is thrown on, behind the text.
napi_value holdStderr(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
