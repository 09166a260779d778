// One thread that carries out work in order.
#ifndef VRAM_RESIDENCY_WORKER_H
#define VRAM_RESIDENCY_WORKER_H

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

namespace vram {

enum class Posted {
  kQueued,
  kStopped,   // the worker takes no more work
  kNoThread,  // the system starts no more threads
};

class Worker {
 public:
  // Does not throw: there is no caller to catch it.
  using Work = std::function<void()>;

  Worker() = default;
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Starts the thread with the first work. Unless it is queued, the work is never carried out. Throws std::bad_alloc.
  Posted post(Work work);

  // Whether a thread was started and not yet joined.
  bool running() const { return thread_.joinable(); }

  // Drops work that has not begun, carries out `last`, and ends. From the owner's thread; safe to call twice.
  void stop(Work last = {});

  // Takes no more work and ends the thread once the queue is empty; called by the work itself.
  void finish();

  // Waits for a thread that finish() has asked to end.
  void join();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  // A list: an empty one, unlike an empty deque, needs no memory.
  std::list<Work> queue_;
  Work last_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace vram

#endif
