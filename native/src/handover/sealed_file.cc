#include "sealed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vram {

namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

Status writeAll(const Descriptor& file, const uint8_t* bytes, std::size_t length) {
  for (std::size_t done = 0; done < length;) {
    const ssize_t written = write(file.get(), bytes + done, length - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written < 0 && errno != EINTR) {
      return Status::system("write", errno);
    }
  }
  return {};
}

}  // namespace

Status makeSealedFile(const uint8_t* bytes, std::size_t length, Descriptor& out) {
  Descriptor file(memfd_create("vram-residency", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.open()) return Status::system("memfd_create", errno);
  VRAM_TRY(writeAll(file, bytes, length));
  if (fcntl(file.get(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) return Status::system("fcntl", errno);
  out = std::move(file);
  return {};
}

Status readSealedFile(const Descriptor& file, std::size_t limit, FileBytes& out) {
  const int seals = fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Status::fail(Failure::kState, "the file is not sealed: it could change under us");
  }
  const off_t length = lseek(file.get(), 0, SEEK_END);
  if (length < 0) return Status::system("lseek", errno);
  if (static_cast<std::size_t>(length) > limit) return Status::fail(Failure::kState, "the file is larger than its limit");
  out.length = static_cast<std::size_t>(length);
  out.data = std::shared_ptr<uint8_t[]>(new uint8_t[out.length]);
  for (std::size_t done = 0; done < out.length;) {
    const ssize_t got = pread(file.get(), out.data.get() + done, out.length - done, static_cast<off_t>(done));
    if (got == 0) return Status::fail(Failure::kState, "the file ended early");
    if (got > 0) {
      done += static_cast<std::size_t>(got);
    } else if (errno != EINTR) {
      return Status::system("pread", errno);
    }
  }
  return {};
}

}  // namespace vram
