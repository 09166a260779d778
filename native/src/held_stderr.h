// What libraries write to stderr during one call.
#ifndef VRAM_RESIDENCY_HELD_STDERR_H
#define VRAM_RESIDENCY_HELD_STDERR_H

#include "napi_glue.h"

namespace vram {

// (call) -> { value, text }: calls it with the process's stderr redirected to a file in memory, and returns its value
// and the text written there by any thread. If stderr cannot be redirected, it stays as it is and the text is empty. An
// exception of the call is rethrown after the text was written.
napi_value holdStderr(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
