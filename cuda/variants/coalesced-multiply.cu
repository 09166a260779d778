// Both at once: loads coalesced through shared memory, additions on the multiply-add pipe.
#define VR_ADDS_BY_MULTIPLY
#include "coalesced.cuh"
