// The outcome of an operation. Failures are values: no exception leaves a worker thread or the Node-API boundary.
#ifndef VRAM_RESIDENCY_STATUS_H
#define VRAM_RESIDENCY_STATUS_H

#include <string>
#include <utility>

#include "../driver_api.h"

namespace vram {

enum class Failure {
  kNone,
  kDriver,      // a driver call returned an error: result, name and call say which
  kNoDriver,    // the library could not be opened or lacks a function
  kClosed,      // the device, memory or module was closed before
  kHostMemory,  // the host ran out of memory
  kHostThread,  // the host starts no more threads
  kState,       // the call does not fit the state of the memory: a write to a read-only mapping
  kSystem,      // a system call failed: call and name say which and how
  kPath,        // a socket cannot be made at this path; detail completes "the path ..."
};

struct [[nodiscard]] Status {
  Failure failure = Failure::kNone;
  CUresult result = CUDA_SUCCESS;
  // The driver function or system call that failed.
  const char* call = "";
  // The driver's name for the result, such as CUDA_ERROR_OUT_OF_MEMORY; or the system's text for the error.
  std::string name;
  // Details: a loader's message, the PTX compiler's log.
  std::string detail;

  bool ok() const { return failure == Failure::kNone; }

  // Allocates nothing.
  static Status outOfHostMemory() noexcept {
    Status status;
    status.failure = Failure::kHostMemory;
    return status;
  }

  static Status fail(Failure failure, std::string detail) {
    Status status;
    status.failure = failure;
    status.detail = std::move(detail);
    return status;
  }

  // `call` is a literal; `error` is the value of errno.
  static Status system(const char* call, int error);

  // Keeps the first failure of several steps that are all carried out.
  void keep(Status next) {
    if (ok() && !next.ok()) *this = std::move(next);
  }
};

// Ends the enclosing function with the first failure.
#define VRAM_TRY(expression)                      \
  do {                                            \
    ::vram::Status status_ = (expression);        \
    if (!status_.ok()) return status_;            \
  } while (false)

}  // namespace vram

#endif
