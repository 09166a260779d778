#include "worker.h"

#include <utility>

namespace vram {

Worker::~Worker() { stop(); }

bool Worker::post(Work work) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopped_) return false;
  queue_.push_back(std::move(work));
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  wake_.notify_one();
  return true;
}

void Worker::stop(Work last) {
  std::deque<Work> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!stopped_) {
      stopped_ = true;
      dropped.swap(queue_);
      // Without a thread nothing was ever done, so there is nothing for `last` to undo.
      if (last && thread_.joinable()) queue_.push_back(std::move(last));
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
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace vram
