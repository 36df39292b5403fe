// The same as gemm_mkl.cc in plain loops: slow, and without anything outside the language.
#include "gemm.h"

#include <cstdlib>

namespace bilm {

void gemm(bool transpose_a, bool transpose_b, int64_t rows, int64_t columns, int64_t inner,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
          int64_t ldc) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      float total = 0.0f;
      for (int64_t k = 0; k < inner; ++k) {
        total += (transpose_a ? a[k * lda + i] : a[i * lda + k]) *
                 (transpose_b ? b[j * ldb + k] : b[k * ldb + j]);
      }
      float* place = &c[i * ldc + j];
      *place = total + (beta == 0.0f ? 0.0f : beta * *place);  // 0: *place may hold anything
    }
  }
}

RightFactor::RightFactor(bool transpose_b, int64_t rows, int64_t columns, int64_t inner,
                         const float* b, int64_t ldb)
    : transpose_b_(transpose_b), rows_(rows), columns_(columns), inner_(inner), ldb_(ldb), b_(b) {
}

void RightFactor::multiply(int64_t rows, const float* a, int64_t lda, float beta, float* c,
                           int64_t ldc, bool transpose_a) const {
  gemm(transpose_a, transpose_b_, rows, columns_, inner_, a, lda, b_, ldb_, beta, c, ldc);
}

int64_t rows_rounded_alike(int64_t rows) { return rows; }

namespace {
thread_local int local_threads = 0;
}

int num_threads() {
  const char* count = std::getenv("OMP_NUM_THREADS");
  return local_threads ? local_threads : count == nullptr ? 1 : std::atoi(count);
}

int use_one_thread() {
  const int before = local_threads;
  local_threads = 1;
  return before;
}

void restore_threads(int before) { local_threads = before; }

}  // namespace bilm
