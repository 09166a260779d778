// The functions exported to JavaScript for memory and files that other processes receive.
#ifndef VRAM_RESIDENCY_HANDOVER_DESCRIPTOR_CALLS_H
#define VRAM_RESIDENCY_HANDOVER_DESCRIPTOR_CALLS_H

#include "../napi_glue.h"
#include "connection.h"

namespace vram {

// A handle of a descriptor, whose number never becomes a JavaScript value; empty once consumed.
struct DescriptorHandle {
  static constexpr napi_type_tag kTag{0x8f0f2f6b6c2d4a11, 0x9d0b7ac5d1e34f05};
  static constexpr char kName[] = "descriptor";
  SharedDescriptor descriptor;
  void dropped() { descriptor.reset(); }
};

// (memory): a promise for one more descriptor of memory that was allocated to be shared.
napi_value exportMemory(napi_env env, const Arguments& arguments);

// (device, descriptor, bytes): maps another process's memory read-only; a promise for { memory, granted }.
napi_value importMemory(napi_env env, const Arguments& arguments);

// (bytes): a promise for the descriptor of a sealed file with these bytes.
napi_value sealBytes(napi_env env, const Arguments& arguments);

// (descriptor, limit): a promise for the bytes of a sealed file.
napi_value readSealedBytes(napi_env env, const Arguments& arguments);

// (descriptor): one more handle of it.
napi_value shareDescriptor(napi_env env, const Arguments& arguments);

// (descriptor): closes it, unless it is still in use elsewhere. Safe to call twice.
napi_value closeDescriptor(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
