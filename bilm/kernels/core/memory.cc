#include "memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace bilm {
namespace {

constexpr int64_t kHugePage = int64_t{1} << 21;
constexpr int64_t kMostKept = int64_t{1} << 29;  // bytes

struct Block {
  float* data;
  int64_t bytes;
};

// Free blocks; never destroyed, so that buffers may outlive the static objects of a process.
std::mutex& mutex = *new std::mutex;
std::vector<Block>& kept = *new std::vector<Block>;
int64_t bytes_kept = 0;

// A fork waits until no other thread changes the list: the child could not go on otherwise.
const int at_fork = pthread_atfork([] { mutex.lock(); }, [] { mutex.unlock(); },
                                   [] { mutex.unlock(); });

float* take_kept(int64_t bytes, int64_t* got) {
  std::lock_guard<std::mutex> lock(mutex);
  auto best = kept.end();
  for (auto block = kept.begin(); block != kept.end(); ++block) {
    if (block->bytes >= bytes && (best == kept.end() || block->bytes < best->bytes)) best = block;
  }
  if (best == kept.end() || best->bytes > 2 * bytes) return nullptr;
  float* data = best->data;
  *got = best->bytes;
  bytes_kept -= best->bytes;
  kept.erase(best);
  return data;
}

}  // namespace

Buffer::Buffer(int64_t count) {
  const int64_t unit = count * 4 >= kHugePage ? kHugePage : 4096;
  const int64_t bytes = std::max<int64_t>(1, (count * 4 + unit - 1) / unit) * unit;
  data_ = take_kept(bytes, &bytes_);
  if (data_ != nullptr) return;
  bytes_ = bytes;
  data_ = static_cast<float*>(std::aligned_alloc(unit, bytes));
  if (data_ == nullptr) throw std::bad_alloc();
  if (unit == kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);  // a hint: it may be refused
}

Buffer::~Buffer() {
  std::vector<Block> surplus;
  {
    std::lock_guard<std::mutex> lock(mutex);
    kept.push_back({data_, bytes_});
    bytes_kept += bytes_;
    while (bytes_kept > kMostKept) {  // the oldest go first
      surplus.push_back(kept.front());
      bytes_kept -= kept.front().bytes;
      kept.erase(kept.begin());
    }
  }
  for (const Block& block : surplus) std::free(block.data);
}

}  // namespace bilm
