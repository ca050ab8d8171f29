// The texts of --help and --version, made from the option table, the column tables and the formulas
// of the statistics; also the shell completion. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qi {

/// The overview for an empty topic. Throws kUsage for an unknown topic, naming those there are.
std::string help_text(std::string_view topic);

/// The words --help takes.
std::vector<std::string_view> help_topics();

/// One fact a line: qinspect, compiler, libraries, the SIMD target in use.
std::string version_text();

}  // namespace qi
