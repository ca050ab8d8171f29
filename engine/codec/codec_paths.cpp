// Which of the codecs' loops this machine can run.
#include "engine/codec/pair_kernels.h"
#include "engine/codec/plane_kernels.h"

namespace qi {
namespace {

struct Paths {
  std::array<CodecPath, 3> path{CodecPath::kPortable, CodecPath::kPortable, CodecPath::kPortable};
  std::size_t count = 1;
};

#if defined(__x86_64__)
// The flags of x86_vectors.h; whoever has AVX2 has F16C.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("popcnt");
}
// Servers since Skylake-SP, and Zen 4. VBMI is not asked for: 32-bit lookups need none.
bool has_avx512() {
#if defined(QI_EMULATED_AVX512)
  return true;
#else
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
#endif
}
#endif

Paths find_paths() {
  Paths found;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx2()) found.path[found.count++] = CodecPath::kAvx2;
  if (has_avx2() && has_avx512()) found.path[found.count++] = CodecPath::kAvx512;
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

std::string_view name_of(CodecPath path) {
  constexpr std::string_view kNames[] = {"portable", "AVX2", "AVX-512"};
  return kNames[static_cast<std::size_t>(path)];
}

const PlaneKernels& plane_kernels(CodecPath path) {
#if defined(__x86_64__)
  if (path == CodecPath::kAvx512) return avx512::kPlaneKernels;
  if (path == CodecPath::kAvx2) return avx2::kPlaneKernels;
#endif
  (void)path;
  return portable::kPlaneKernels;
}

const PairKernels& pair_kernels(CodecPath path) {
#if defined(__x86_64__)
  if (path == CodecPath::kAvx512) return avx512::kPairKernels;
  if (path == CodecPath::kAvx2) return avx2::kPairKernels;
#endif
  (void)path;
  return portable::kPairKernels;
}

}  // namespace qi
