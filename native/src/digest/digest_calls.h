// The digest functions exported to JavaScript.
#ifndef VRAM_RESIDENCY_DIGEST_CALLS_H
#define VRAM_RESIDENCY_DIGEST_CALLS_H

#include "../napi_glue.h"

namespace vram {

// () -> string[]: the names of the block hashers that this processor can run, the fastest first.
napi_value blockHasherNames(napi_env env, const Arguments& arguments);

// (name, blocks, hashes): hashes whole blocks of 4096 bytes, 32 bytes each, before it returns.
napi_value hashBlocks(napi_env env, const Arguments& arguments);

// (name, blocks, hashes, threads): the same in `threads` threads; returns a promise. Until it settles the caller must not
// write to, detach or resize either array.
napi_value hashBlocksAsync(napi_env env, const Arguments& arguments);

// (name, descriptor, offset, length, hashes, threads, sink?): hashes these bytes of a file, which the threads read
// themselves; a last partial block is padded with zeros. The promise resolves with the number of bytes present, up to the
// first that is missing. The descriptor may be closed once the call has returned; `hashes` must stay untouched as above.
// The bytes are copied to the sink, if one is given; the promise rejects with CLOSED if it is closed before the end.
napi_value hashFileAsync(napi_env env, const Arguments& arguments);

// (descriptor, offset, length, sink, threads): the same without hashing.
napi_value readFileAsync(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
