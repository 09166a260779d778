#include "staging.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "wipe.h"

namespace vram {

Upload::~Upload() {
  if (staging_ != nullptr) staging_->release(staging_->slots_[slot_]);
}

Status Staging::open(std::size_t size) {
  size_ = size;
  for (Slot& slot : slots_) {
    void* buffer = nullptr;
    VRAM_TRY(VRAM_CALL(driver_, cuMemAllocHost_v2, &buffer, size));
    slot.buffer = static_cast<uint8_t*>(buffer);
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
    // Both are released even when an error is returned, and any remainder with the context.
    if (slot.stream != nullptr) first.keep(VRAM_CALL(driver_, cuStreamDestroy_v2, std::exchange(slot.stream, nullptr)));
    if (slot.buffer != nullptr) {
      wipe(slot, 0);
      first.keep(VRAM_CALL(driver_, cuMemFreeHost, std::exchange(slot.buffer, nullptr)));
    }
  }
  return first;
}

std::shared_ptr<Upload> Staging::stage(const void* bytes, std::size_t length) {
  uint8_t* memory = nullptr;
  const std::shared_ptr<Upload> upload = acquire(length, memory);
  std::memcpy(memory, bytes, length);
  return upload;
}

std::shared_ptr<Upload> Staging::reserve(std::size_t length) {
  uint8_t* memory = nullptr;
  const std::shared_ptr<Upload> upload = acquire(length, memory);
  upload->sink_ = std::make_shared<Sink>(std::vector<Sink::Span>{{memory, length}});
  reserved_.insert(upload);
  return upload;
}

void Staging::retire() {
  retired_ = true;
  for (const std::shared_ptr<Upload>& upload : reserved_) upload->sink_->close();
  // Wiped here, before close() frees the buffers.
  reserved_.clear();
}

std::shared_ptr<Upload> Staging::acquire(std::size_t length, uint8_t*& bytes) {
  const std::shared_ptr<Upload> upload(new Upload());
  upload->length_ = length;
  for (std::size_t index = 0; index < kUploads && !retired_; index++) {
    Slot& slot = slots_[index];
    if (!take(slot)) continue;
    upload->staging_ = shared_from_this();
    upload->slot_ = index;
    // Remains of another copy after these bytes are wiped now, because a drain skips a taken buffer.
    wipe(slot, length);
    slot.dirty = length;
    bytes = slot.buffer;
    return upload;
  }
  upload->heap_ = wipedBytes(length);
  bytes = upload->heap_.get();
  return upload;
}

bool Staging::take(Slot& slot) {
  State free = State::kFree;
  return slot.state.compare_exchange_strong(free, State::kTaken);
}

void Staging::release(Slot& slot) {
  // The work was dropped with its queue: close() has already wiped and freed the buffer.
  if (slot.buffer == nullptr) return;
  wipe(slot, 0);
  slot.state = State::kFree;
}

void Staging::wait(Slot& slot) {
  if (slot.target == nullptr) return;
  const std::shared_ptr<Memory> target = std::move(slot.target);
  slot.target = nullptr;
  target->pending.keep(VRAM_CALL(driver_, cuStreamSynchronize, slot.stream));
  slot.state = State::kFree;
}

void Staging::wipe(Slot& slot, std::size_t from) {
  if (slot.dirty <= from) return;
  wipeBytes(slot.buffer + from, slot.dirty - from);
  slot.dirty = from;
}

Status Staging::write(const std::shared_ptr<Memory>& memory, std::size_t offset, Upload& upload) {
  if (!memory->writable()) return Status::fail(Failure::kState, "the memory is mapped read-only");
  const std::size_t length = upload.length_;
  Slot& slot = upload.staging_ == nullptr ? own() : slots_[upload.slot_];
  // Writes take effect in order: streams do not wait for each other, so an overlapping copy is waited for here.
  for (Slot& other : slots_) {
    if (other.target == memory && other.offset < offset + length && offset < other.offset + other.length) wait(other);
  }
  if (upload.staging_ == nullptr) {
    wait(slot);
    std::memcpy(slot.buffer, upload.heap_.get(), length);
    slot.dirty = std::max(slot.dirty, length);
  }
  if (!memory->pending.ok()) return std::exchange(memory->pending, Status{});
  VRAM_TRY(VRAM_CALL(driver_, cuMemcpyHtoDAsync_v2, memory->at(offset), slot.buffer, length, slot.stream));
  upload.staging_ = nullptr;
  slot.state = State::kUnderWay;
  slot.target = memory;
  slot.offset = offset;
  slot.length = length;
  // Earlier copies ran while this buffer was filled. They are waited for here so that the next upload finds a free buffer.
  for (Slot& other : slots_) {
    if (&other != &slot) wait(other);
  }
  return {};
}

Status Staging::read(Memory& memory, std::size_t offset, uint8_t* to, std::size_t length) {
  drain();
  Status status = std::exchange(memory.pending, Status{});
  Slot& slot = own();
  for (std::size_t done = 0; done < length && status.ok();) {
    const std::size_t part = std::min(size_, length - done);
    slot.dirty = std::max(slot.dirty, part);
    status = VRAM_CALL(driver_, cuMemcpyDtoHAsync_v2, slot.buffer, memory.at(offset + done), part, slot.stream);
    if (status.ok()) status = VRAM_CALL(driver_, cuStreamSynchronize, slot.stream);
    if (status.ok()) std::memcpy(to + done, slot.buffer, part);
    done += part;
  }
  wipe(slot, 0);
  return status;
}

void Staging::drain() {
  for (Slot& slot : slots_) {
    wait(slot);
    if (!take(slot)) continue;
    wipe(slot, 0);
    slot.state = State::kFree;
  }
}

}  // namespace vram
