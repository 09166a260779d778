#include "staging.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wipe.h"

namespace vram {

Status Staging::open(std::size_t size) {
  size_ = size;
  for (Slot& slot : slots_) {
    VRAM_TRY(VRAM_CALL(driver_, cuMemAllocHost_v2, &slot.buffer, size));
    VRAM_TRY(VRAM_CALL(driver_, cuStreamCreate, &slot.stream, CU_STREAM_NON_BLOCKING));
  }
  return {};
}

Status Staging::close() {
  Status first;
  for (Slot& slot : slots_) {
    const std::shared_ptr<Memory> target = slot.target;
    wait(slot);
    if (target != nullptr) first.keep(target->pending);
    // Both are gone even when an error is returned, and what is not goes with the context.
    if (slot.stream != nullptr) first.keep(VRAM_CALL(driver_, cuStreamDestroy_v2, std::exchange(slot.stream, nullptr)));
    if (slot.buffer != nullptr) {
      wipe(slot);
      first.keep(VRAM_CALL(driver_, cuMemFreeHost, std::exchange(slot.buffer, nullptr)));
    }
  }
  return first;
}

void Staging::wait(Slot& slot) {
  if (slot.target == nullptr) return;
  const std::shared_ptr<Memory> target = std::move(slot.target);
  slot.target = nullptr;
  target->pending.keep(VRAM_CALL(driver_, cuStreamSynchronize, slot.stream));
}

void Staging::wipe(Slot& slot) {
  wipeBytes(slot.buffer, slot.dirty);
  slot.dirty = 0;
}

Status Staging::write(const std::shared_ptr<Memory>& memory, std::size_t offset, const uint8_t* from, std::size_t length) {
  if (!memory->writable()) return Status::fail(Failure::kState, "the memory is mapped read-only");
  Slot& slot = slots_[next_];
  Slot& other = slots_[1 - next_];
  wait(slot);
  // Writes take effect in order: streams do not wait for each other, so an overlapping copy is waited for here.
  if (other.target == memory && other.offset < offset + length && offset < other.offset + other.length) wait(other);
  if (!memory->pending.ok()) return std::exchange(memory->pending, Status{});
  std::memcpy(slot.buffer, from, length);
  slot.dirty = std::max(slot.dirty, length);
  VRAM_TRY(VRAM_CALL(driver_, cuMemcpyHtoDAsync_v2, memory->at(offset), slot.buffer, length, slot.stream));
  slot.target = memory;
  slot.offset = offset;
  slot.length = length;
  next_ = 1 - next_;
  return {};
}

Status Staging::read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length) {
  drain();
  Status status = std::exchange(memory.pending, Status{});
  for (std::size_t done = 0; done < length && status.ok();) {
    Slot& slot = slots_[0];
    const std::size_t part = std::min(size_, length - done);
    slot.dirty = std::max(slot.dirty, part);
    status = VRAM_CALL(driver_, cuMemcpyDtoHAsync_v2, slot.buffer, memory.at(offset + done), part, slot.stream);
    if (status.ok()) status = VRAM_CALL(driver_, cuStreamSynchronize, slot.stream);
    if (status.ok()) std::memcpy(to + done, slot.buffer, part);
    done += part;
  }
  wipe(slots_[0]);
  return status;
}

void Staging::drain() {
  for (Slot& slot : slots_) {
    wait(slot);
    wipe(slot);
  }
}

}  // namespace vram
