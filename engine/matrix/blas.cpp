#include "engine/matrix/blas.h"

#include <cblas.h>
#include <dlfcn.h>

#include <cassert>
#include <string>

#include "engine/io/error.h"

namespace qi {
namespace {

constexpr const char* kLibrary = "libopenblas.so.0";

struct Library {
  decltype(&cblas_sgemm) sgemm;
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
  return {reinterpret_cast<decltype(&cblas_sgemm)>(find("cblas_sgemm"))};
}

void sgemm(CBLAS_TRANSPOSE transpose_b, const MatrixView& a, const MatrixView& b,
           std::size_t columns, float* out, std::size_t out_stride) {
  static const Library library = load();
  library.sgemm(CblasRowMajor, CblasNoTrans, transpose_b, static_cast<blasint>(a.rows),
                static_cast<blasint>(columns), static_cast<blasint>(a.cols), 1, a.data,
                static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride), 0, out,
                static_cast<blasint>(out_stride));
}

}  // namespace

void multiply_transposed(const MatrixView& a, const MatrixView& b, float* out,
                         std::size_t out_stride) {
  assert(a.cols == b.cols);
  sgemm(CblasTrans, a, b, b.rows, out, out_stride);
}

void multiply(const MatrixView& a, const MatrixView& b, float* out, std::size_t out_stride) {
  assert(a.cols == b.rows);
  sgemm(CblasNoTrans, a, b, b.cols, out, out_stride);
}

}  // namespace qi
