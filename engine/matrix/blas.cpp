#include "engine/matrix/blas.h"

#include <cblas.h>
#include <dlfcn.h>

#include <cassert>
#include <string>

#include "engine/io/error.h"

namespace qi {
namespace {

constexpr const char* kLibrary = "libopenblas.so.0";

using Potrf = void(const char* uplo, const blasint* n, float* a, const blasint* lda, blasint* info,
                   std::size_t uplo_length);

struct Library {
  decltype(&cblas_sgemm) sgemm;
  decltype(&cblas_strsm) strsm;
  Potrf* spotrf;
};

Library load() {
  void* const handle = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  const auto find = [handle](const char* name) {
    void* const symbol = handle == nullptr ? nullptr : dlsym(handle, name);
    if (symbol == nullptr) {
      const char* const reason = dlerror();
      throw Error(ErrorCode::kMissing,
                  std::string("cannot be loaded: ") + (reason == nullptr ? name : reason),
                  "OpenBLAS, which multiplies matrices", kLibrary);
    }
    return symbol;
  };
  // How the work is divided decides the order of sums: that is done here, not by its own threads.
  reinterpret_cast<decltype(&openblas_set_num_threads)>(find("openblas_set_num_threads"))(1);
  return {reinterpret_cast<decltype(&cblas_sgemm)>(find("cblas_sgemm")),
          reinterpret_cast<decltype(&cblas_strsm)>(find("cblas_strsm")),
          reinterpret_cast<Potrf*>(find("spotrf_"))};
}

const Library& library() {
  static const Library loaded = load();
  return loaded;
}

blasint whole(std::size_t number) {
  return static_cast<blasint>(number);
}

}  // namespace

void multiply_transposed(const MatrixView& a, const MatrixView& b, float* out,
                         std::size_t out_stride) {
  assert(a.cols == b.cols);
  library().sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, whole(a.rows), whole(b.rows),
                  whole(a.cols), 1, a.data, whole(a.stride), b.data, whole(b.stride), 0, out,
                  whole(out_stride));
}

void multiply(const MatrixView& a, const MatrixView& b, float* out, std::size_t out_stride) {
  assert(a.cols == b.rows);
  library().sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, whole(a.rows), whole(b.cols),
                  whole(a.cols), 1, a.data, whole(a.stride), b.data, whole(b.stride), 0, out,
                  whole(out_stride));
}

void add_transposed_product(float factor, const MatrixView& a, const MatrixView& b, float keep,
                            float* out, std::size_t out_stride) {
  assert(a.rows == b.rows);
  library().sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, whole(a.cols), whole(b.cols),
                  whole(a.rows), factor, a.data, whole(a.stride), b.data, whole(b.stride), keep,
                  out, whole(out_stride));
}

void subtract_product_transposed(const MatrixView& a, const MatrixView& b, float* out,
                                 std::size_t out_stride) {
  assert(a.cols == b.cols);
  library().sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, whole(a.rows), whole(b.rows),
                  whole(a.cols), -1, a.data, whole(a.stride), b.data, whole(b.stride), 1, out,
                  whole(out_stride));
}

bool factor_tile(float* a, std::size_t size, std::size_t stride) {
  // LAPACK counts columns first: our lower triangle is its upper one.
  const blasint n = whole(size), lda = whole(stride);
  blasint info = 0;
  library().spotrf("U", &n, a, &lda, &info, 1);
  return info == 0;
}

void divide_by_transposed(const MatrixView& lower, float* x, std::size_t rows, std::size_t stride) {
  assert(lower.rows == lower.cols);
  library().strsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, whole(rows),
                  whole(lower.rows), 1, lower.data, whole(lower.stride), x, whole(stride));
}

void divide_by_upper(const MatrixView& upper, float* x, std::size_t rows, std::size_t stride) {
  assert(upper.rows == upper.cols);
  library().strsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, whole(rows),
                  whole(upper.rows), 1, upper.data, whole(upper.stride), x, whole(stride));
}

}  // namespace qi
