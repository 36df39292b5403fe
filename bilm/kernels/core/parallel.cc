#include "parallel.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "gemm.h"

namespace bilm {
namespace {

// One call of `parallel`. Whoever works at it takes the next task until there is none.
struct Job {
  const std::function<void(int)>* task;
  int count;
  std::atomic<int> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    const int before = use_one_thread();
    for (int number = next++; number < count; number = next++) {
      try {
        (*task)(number);
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
      }
    }
    restore_threads(before);
  }
};

// The waiting threads. They live as long as the process: nothing joins them, so neither the end
// of the process nor a fork can hang.
class Pool {
 public:
  void run(Job* job, int num_helpers) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (; num_threads_ < num_helpers; ++num_threads_) {
        std::thread([this, number = num_threads_] { wait_for_jobs(number); }).detach();
      }
      job_ = job;
      wanted_ = working_ = num_helpers;
      ++generation_;
    }
    wake_.notify_all();
    job->work();
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return working_ == 0; });
    job_ = nullptr;
  }

 private:
  void wait_for_jobs(int number) {
    uint64_t seen = 0;
    for (;;) {
      Job* job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_ != seen; });
        seen = generation_;
        if (number >= wanted_) continue;
        job = job_;
      }
      job->work();
      std::lock_guard<std::mutex> lock(mutex_);
      if (--working_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  uint64_t generation_ = 0;
  int num_threads_ = 0, wanted_ = 0, working_ = 0;
};

Pool* pool = new Pool;
std::mutex* pool_is_taken = new std::mutex;

// After a fork the child has one thread, and locks that nobody will open.
const int at_fork = pthread_atfork(nullptr, nullptr, [] {
  pool = new Pool;
  pool_is_taken = new std::mutex;
});

}  // namespace

void parallel(int count, const std::function<void(int)>& task) {
  Job job;
  job.task = &task;
  job.count = count;
  const int num_helpers = std::min(count, num_threads()) - 1;
  std::unique_lock<std::mutex> taken(*pool_is_taken, std::defer_lock);
  if (num_helpers > 0 && taken.try_lock()) {
    pool->run(&job, num_helpers);
  } else {
    job.work();
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace bilm
