// From which files code of this process really comes.
#ifndef VRAM_RESIDENCY_LOADED_FILES_H
#define VRAM_RESIDENCY_LOADED_FILES_H

#include <string>
#include <vector>

namespace vram {

// The files that are mapped at these places, each once, in the order of the places; the empty string for a place that no
// file stands behind. The kernel tells them (/proc/self/maps) as it resolved them when it opened them, so that a link that
// was changed since makes no difference; a file that is gone has " (deleted)" behind its name. Nothing at all if the kernel
// does not tell. Throws std::bad_alloc.
std::vector<std::string> loadedFrom(const std::vector<const void*>& places);

// A place in each loaded library whose file name begins with one of these words, as it was named when it was loaded.
// Throws std::bad_alloc.
std::vector<const void*> librariesNamed(const std::vector<std::string>& words);

}  // namespace vram

#endif
