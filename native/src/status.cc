#include "status.h"

#include <cstring>

namespace vram {

Status Status::system(const char* call, int error) {
  // The GNU variant: it may leave `buffer` unused and return a pointer to another string.
  char buffer[128] = "";
  Status status;
  status.failure = Failure::kSystem;
  status.result = error;
  status.call = call;
  status.name = strerror_r(error, buffer, sizeof buffer);
  return status;
}

}  // namespace vram
