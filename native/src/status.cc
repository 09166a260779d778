#include "status.h"

#include <cstring>

namespace vram {

Status Status::system(const char* call, int error) {
  // The GNU form: it may leave `buffer` alone and answer with a text of its own.
  char buffer[128] = "";
  Status status;
  status.failure = Failure::kSystem;
  status.result = error;
  status.call = call;
  status.name = strerror_r(error, buffer, sizeof buffer);
  return status;
}

}  // namespace vram
