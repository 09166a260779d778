#include "coalesced.cuh"
