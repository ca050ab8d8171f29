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
/// The same in one line, which runs of sweeps are kept with.
std::string versions_line();

/// The key table in force, and the config file: topics of their own.
std::string keys_topic();
std::string config_topic();

/// `text` broken at spaces into lines of at most `width` cells, all but the first indented.
std::string wrapped_text(std::string_view text, int width, std::size_t indent);

}  // namespace qi
