// One message to a datagram socket of this machine, which Node's own modules cannot send.
#ifndef VRAM_RESIDENCY_DATAGRAM_H
#define VRAM_RESIDENCY_DATAGRAM_H

#include "napi_glue.h"

namespace vram {

// (path, text) -> whether it was sent. The path is a Unix socket's; one that begins with @ is in the abstract namespace.
// Never waits.
napi_value sendDatagram(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
