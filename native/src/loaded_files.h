// Finds the files from which code of this process was loaded.
#ifndef VRAM_RESIDENCY_LOADED_FILES_H
#define VRAM_RESIDENCY_LOADED_FILES_H

#include <string>
#include <vector>

namespace vram {

// The files that are mapped at these places, each once, in the order of the places; the empty string for a place
// without a file. The kernel reports them (/proc/self/maps) as resolved at opening, so that later changes of links have
// no effect; a removed file has " (deleted)" after its name. Empty if the kernel does not report them. Throws
// std::bad_alloc.
std::vector<std::string> loadedFrom(const std::vector<const void*>& places);

// A place in each loaded library whose file name begins with one of these words, under the name by which it was loaded.
// Throws std::bad_alloc.
std::vector<const void*> librariesNamed(const std::vector<std::string>& words);

}  // namespace vram

#endif
