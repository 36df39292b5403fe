// Work space that is kept from call to call: fresh memory costs more than what is done in it.
#pragma once

#include <cstdint>

namespace bilm {

// `count` floats, 64-byte aligned, with any values.
class Buffer {
 public:
  explicit Buffer(int64_t count);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  float* data() { return data_; }
  operator float*() { return data_; }
  operator const float*() const { return data_; }

 private:
  float* data_;
  int64_t bytes_;
};

}  // namespace bilm
