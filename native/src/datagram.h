// Sends one message to a Unix datagram socket, which Node's own modules cannot do.
#ifndef VRAM_RESIDENCY_DATAGRAM_H
#define VRAM_RESIDENCY_DATAGRAM_H

#include "napi_glue.h"

namespace vram {

// (path, text) -> whether it was sent. `path` names a Unix socket; a leading @ means the abstract namespace. Never blocks.
napi_value sendDatagram(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
