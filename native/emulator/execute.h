// Runs a decoded kernel over a grid. A warp's 32 threads run in lock-step, so that an instruction is dispatched once
// for all of them and most are loops over vectors. After divergence, the threads furthest back run first until all
// converge.
#ifndef VRAM_RESIDENCY_EMULATOR_EXECUTE_H
#define VRAM_RESIDENCY_EMULATOR_EXECUTE_H

#include <string>
#include <vector>

#include "../driver_api.h"
#include "ptx.h"

namespace emulator {

// A piece of device address space as one device sees it, and the host memory that backs it.
struct Window {
  uint64_t begin, end;
  uint8_t* memory;
  bool readable, writable;
};

struct Launch {
  const Kernel* kernel;
  std::vector<uint8_t> parameters;
  uint32_t grid[3], block[3];
  std::vector<Window> windows;  // ordered by address
  uint64_t budget;              // instructions that one warp may run
  unsigned workers;             // host threads
};

struct Outcome {
  CUresult result = CUDA_SUCCESS;
  std::string message;
};

Outcome execute(const Launch& launch);

}  // namespace emulator

#endif
