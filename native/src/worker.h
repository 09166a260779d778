// One thread that carries out work in the order in which it was given.
#ifndef VRAM_RESIDENCY_WORKER_H
#define VRAM_RESIDENCY_WORKER_H

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace vram {

class Worker {
 public:
  using Work = std::function<void()>;

  Worker() = default;
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Starts the thread with the first work. False: the worker has been stopped.
  bool post(Work work);

  // Drops what has not begun, carries out `last`, and ends. From the owner's thread; safe to call twice.
  void stop(Work last = {});

  // Takes no more work and ends the thread once the queue is empty; called by the work itself.
  void finish();

  // Waits for a thread that finish() has told to end.
  void join();

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Work> queue_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace vram

#endif
