// Matrix products of one thread. Matrices are stored by rows; op(X) is X or its transpose.
//
// Two sources implement this: gemm_mkl.cc with the MKL that Paddle bundles, and gemm_plain.cc
// with loops, so that everything else can be run under sanitizers without Paddle.
#pragma once

#include <cstdint>
#include <memory>

#include "memory.h"

namespace bilm {

// c (rows, columns; leading dimension ldc) = op(a) op(b) + beta * c
void gemm(bool transpose_a, bool transpose_b, int64_t rows, int64_t columns, int64_t inner,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
          int64_t ldc);

// op(b) (inner, columns), laid out once for many products with `rows` rows each. If these are
// fewer than kMinPackedRows nothing is gained, so b itself is read; it has to outlive this object.
class RightFactor {
 public:
  static constexpr int64_t kMinPackedRows = 4;

  RightFactor(bool transpose_b, int64_t rows, int64_t columns, int64_t inner, const float* b,
              int64_t ldb);
  RightFactor(const RightFactor&) = delete;
  RightFactor& operator=(const RightFactor&) = delete;

  // c (rows, columns) = op(a) (rows, inner) op(b) + beta * c; slower for another number of rows
  void multiply(int64_t rows, const float* a, int64_t lda, float beta, float* c, int64_t ldc,
                bool transpose_a = false) const;

 private:
  bool transpose_b_;
  int64_t rows_, columns_, inner_, ldb_;
  const float* b_;
  std::unique_ptr<Buffer> packed_;
};

// How many of `rows` to multiply at once, so that equal rows give equal bits wherever they stand: a
// divisor of `rows`. If `rows` is not a multiple of 8 it is `rows`, and nothing is promised.
int64_t rows_rounded_alike(int64_t rows);

// Number of threads that Paddle was told to use; 1 between the next two calls.
int num_threads();

// Makes products in the calling thread use that thread alone; returns what to restore.
int use_one_thread();
void restore_threads(int before);

}  // namespace bilm
