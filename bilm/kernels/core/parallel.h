// Tasks side by side, on threads that wait for them.
#pragma once

#include <functional>

namespace bilm {

// Calls task(0) ... task(count - 1), each once, on at most num_threads() threads with the calling
// one among them, and returns when all are done. Tasks must not depend on each other. Which
// thread runs a task is open; within a task, matrix products use one thread.
//
// A call from within a task, or while another thread is in here, runs its tasks one by one. If a
// task throws, the others still run, and the first exception is thrown again.
void parallel(int count, const std::function<void(int)>& task);

}  // namespace bilm
