// The digest functions that JavaScript sees.
#ifndef VRAM_RESIDENCY_DIGEST_CALLS_H
#define VRAM_RESIDENCY_DIGEST_CALLS_H

#include "../napi_glue.h"

namespace vram {

// () -> string[]: the names of the block hashers that this processor can run, the fastest first.
napi_value blockHasherNames(napi_env env, const Arguments& arguments);

// (name, blocks, hashes): hashes whole blocks of 4096 bytes, 32 bytes each, before it returns.
napi_value hashBlocks(napi_env env, const Arguments& arguments);

// (name, blocks, hashes, threads): the same in so many threads; returns a promise. Until it settles the caller must neither
// write, detach nor resize the two.
napi_value hashBlocksAsync(napi_env env, const Arguments& arguments);

// (name, descriptor, offset, length, hashes, threads, sink?): hashes these bytes of a file, which the threads read
// themselves; a last partial block is padded with zeros. Promises how many of the bytes are there, up to the first that is
// missing. The descriptor may be closed once the call has returned; `hashes` is bound as above. The bytes are copied to the
// sink, if one is given; rejects with CLOSED if it is closed before the end.
napi_value hashFileAsync(napi_env env, const Arguments& arguments);

// (descriptor, offset, length, sink, threads): the same without hashing.
napi_value readFileAsync(napi_env env, const Arguments& arguments);

}  // namespace vram

#endif
