// block-hasher NAME: reads whole blocks of 4096 bytes from standard input, writes 32 bytes for each. Exits with 3 where this
// processor cannot run the hasher. For processors that the tests' own is not, under an emulator.
#include <cstdio>
#include <vector>

#include "../../native/src/digest/block_hasher.h"

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const vram::BlockHasher* hasher = vram::findBlockHasher(arguments[1]);
  if (hasher == nullptr) return 3;
  std::vector<unsigned char> bytes;
  unsigned char buffer[65536];
  for (std::size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;)
    bytes.insert(bytes.end(), buffer, buffer + got);
  const std::size_t blocks = bytes.size() / vram::kBlockBytes;
  // The blocks begin where no register would like them to, as those of a caller may.
  bytes.insert(bytes.begin(), 3, 0);
  std::vector<unsigned char> hashes(blocks * vram::kHashBytes);
  hasher->hash(bytes.data() + 3, blocks, hashes.data());
  return std::fwrite(hashes.data(), 1, hashes.size(), stdout) == hashes.size() ? 0 : 1;
}
