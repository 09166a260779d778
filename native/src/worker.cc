#include "worker.h"

#include <system_error>
#include <utility>

namespace vram {

Worker::~Worker() { stop(); }

Posted Worker::post(Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return Posted::kStopped;
  if (!thread_.joinable()) {
    // Before anything is queued: a later call could start the thread, which would then do work already reported as
    // failed.
    try {
      thread_ = std::thread([this] { loop(); });
    } catch (const std::system_error&) {
      return Posted::kNoThread;
    }
  }
  queue_.push_back(std::move(work));
  wake_.notify_one();
  return Posted::kQueued;
}

void Worker::stop(Work last) {
  std::list<Work> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!stopped_) {
      stopped_ = true;
      dropped.swap(queue_);
      // Without a thread no work ran, so `last` has nothing to undo.
      if (thread_.joinable()) last_ = std::move(last);
      wake_.notify_one();
    }
  }
  join();
}

void Worker::finish() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopped_ = true;
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::loop() {
  for (;;) {
    Work work;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
      if (queue_.empty()) break;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
  if (last_) last_();
}

}  // namespace vram
