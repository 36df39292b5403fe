// The MKL that Paddle bundles, libmklml_intel; its headers are not bundled, so the functions
// used are declared here.
#include "gemm.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

extern "C" {
void cblas_sgemm(int layout, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
size_t cblas_sgemm_pack_get_size(int identifier, int m, int n, int k);
void cblas_sgemm_pack(int layout, int identifier, int transpose, int m, int n, int k, float alpha,
                      const float* source, int ld, float* destination);
void cblas_sgemm_compute(int layout, int transpose_a, int transpose_b, int m, int n, int k,
                         const float* a, int lda, const float* b, int ldb, float beta, float* c,
                         int ldc);
int MKL_Get_Max_Threads(void);
int MKL_Set_Num_Threads_Local(int count);
}

namespace bilm {
namespace {
constexpr int kRowMajor = 101, kNoTranspose = 111, kTranspose = 112, kPacked = 151, kMatrixB = 162;

int as_flag(bool transpose) { return transpose ? kTranspose : kNoTranspose; }

// Whether equal rows of a product of 8 rows come out equal. In MKL's code for AVX2 they do not: it
// takes 6 rows at once, and sums the 1 to 3 that may remain in another order.
bool rounds_alike() {
  constexpr int kRows = 8, kInner = 64, kColumns = 64;
  std::vector<float> a(kRows * kInner), b(kInner * kColumns), c(kRows * kColumns);
  for (int k = 0; k < kInner; ++k) {
    for (int row = 0; row < kRows; ++row) a[row * kInner + k] = 1.0f / (k + 3);
    for (int j = 0; j < kColumns; ++j) b[k * kColumns + j] = 1.0f / (k * j + 7);
  }
  gemm(false, false, kRows, kColumns, kInner, a.data(), kInner, b.data(), kColumns, 0.0f, c.data(),
       kColumns);
  // each row equals the next one
  return std::equal(c.begin(), c.end() - kColumns, c.begin() + kColumns);
}
}  // namespace

void gemm(bool transpose_a, bool transpose_b, int64_t rows, int64_t columns, int64_t inner,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
          int64_t ldc) {
  cblas_sgemm(kRowMajor, as_flag(transpose_a), as_flag(transpose_b), rows, columns, inner, 1.0f, a,
              lda, b, ldb, beta, c, ldc);
}

RightFactor::RightFactor(bool transpose_b, int64_t rows, int64_t columns, int64_t inner,
                         const float* b, int64_t ldb)
    : transpose_b_(transpose_b), rows_(rows), columns_(columns), inner_(inner), ldb_(ldb), b_(b) {
  if (rows < kMinPackedRows) return;
  const size_t bytes = cblas_sgemm_pack_get_size(kMatrixB, rows, columns, inner);
  packed_ = std::make_unique<Buffer>((bytes + sizeof(float) - 1) / sizeof(float));
  cblas_sgemm_pack(kRowMajor, kMatrixB, as_flag(transpose_b), rows, columns, inner, 1.0f, b, ldb,
                   packed_->data());
}

void RightFactor::multiply(int64_t rows, const float* a, int64_t lda, float beta, float* c,
                           int64_t ldc, bool transpose_a) const {
  if (packed_ == nullptr || rows != rows_) {
    gemm(transpose_a, transpose_b_, rows, columns_, inner_, a, lda, b_, ldb_, beta, c, ldc);
  } else {
    cblas_sgemm_compute(kRowMajor, as_flag(transpose_a), kPacked, rows, columns_, inner_, a, lda,
                        packed_->data(), ldb_, beta, c, ldc);
  }
}

int64_t rows_rounded_alike(int64_t rows) {
  static const bool is_alike = rounds_alike();
  if (is_alike || rows % 8 != 0) return rows;
  // the code for AVX2 leaves no such remainder of these
  for (const int64_t part : {64, 40, 28, 24, 16}) {
    if (rows % part == 0) return part;
  }
  return 4;
}

int num_threads() { return MKL_Get_Max_Threads(); }
int use_one_thread() { return MKL_Set_Num_Threads_Local(1); }
void restore_threads(int before) { MKL_Set_Num_Threads_Local(before); }

}  // namespace bilm
