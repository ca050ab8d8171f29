#include <openblas_config.h>

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <hwy/targets.h>
#include <zfp.h>
#include <zstd.h>

#include "app/help.h"
#include "engine/codec/plane_kernels.h"
#include "eval/results/results_db.h"
#include "views/term/terminal.h"

namespace qi {
namespace {

// Libraries name themselves before or after the number: "zfp version 1.0.0 (August 1, 2022)".
std::string_view version_in(std::string_view text) {
  const std::size_t begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return text;
  return text.substr(begin, text.find(' ', begin) - begin);
}

}  // namespace

std::string version_text() {
#if defined(__clang__)
  const std::string compiler = fmt::format("clang {}", __clang_version__);
#else
  const std::string compiler = fmt::format("gcc {}", __VERSION__);
#endif
  // The best target that both the machine and this build know: what dispatch will choose.
  const auto best = hwy::SupportedTargets() & -hwy::SupportedTargets();
  return fmt::format(
      "qinspect {}\n"
      "compiler {}\n"
      "zfp {}\n"
      "zstd {}\n"
      "OpenBLAS {}\n"
      "SQLite {}\n"
      "ncurses {}\n"
      "SIMD {}, codecs {}\n",
      QI_VERSION, compiler, version_in(zfp_version_string), ZSTD_versionString(),
      version_in(OPENBLAS_VERSION), sqlite_version(), version_in(ncurses_version()),
      hwy::TargetName(best), name_of(best_codec_path()));
}

std::string versions_line() {
  std::string line = version_text();
  line.pop_back();
  for (std::size_t at = 0; (at = line.find('\n', at)) != std::string::npos; at += 2) {
    line.replace(at, 1, "; ");
  }
  return line;
}

}  // namespace qi
