// Which of the codecs' loops this machine can run.
#include "engine/codec/pair_kernels.h"
#include "engine/codec/plane_kernels.h"

namespace qi {
namespace {

struct Paths {
  std::array<CodecPath, 3> path{CodecPath::kPortable, CodecPath::kPortable, CodecPath::kPortable};
  std::size_t count = 1;
};

Paths find_paths() {
  Paths found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("popcnt");
  if (has_avx2) found.path[found.count++] = CodecPath::kAvx2;
#endif
  return found;
}

const Paths& paths() {
  static const Paths found = find_paths();
  return found;
}

}  // namespace

std::span<const CodecPath> codec_paths() {
  return {paths().path.data(), paths().count};
}

CodecPath best_codec_path() {
  return codec_paths().back();
}

const PlaneKernels& plane_kernels(CodecPath path) {
#if defined(__x86_64__)
  if (path == CodecPath::kAvx2) return avx2::kPlaneKernels;
#endif
  (void)path;
  return portable::kPlaneKernels;
}

const PairKernels& pair_kernels(CodecPath path) {
#if defined(__x86_64__)
  if (path != CodecPath::kPortable) return avx2::kPairKernels;
#endif
  (void)path;
  return portable::kPairKernels;
}

}  // namespace qi
