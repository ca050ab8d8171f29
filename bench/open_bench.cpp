// How long it takes to open what people have, and how much of the files that reads. Builds sparse
// files in a temporary folder and prints one line a question; run it without arguments.
//   100,000 tensors in one file: the whole of --list may take 0.3 s and 256 MiB, so opening less.
//   50 GB in 500 tensors: under 50 ms, under 1 MiB of payload read.
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "tests/support/model_builder.h"
#include "tests/support/process.h"

namespace {

using qi::test::bytes_read;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Bytes of mapped files that are in this process's memory: payload touched through a mapping.
std::uint64_t mapped_file_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("RssFile:")) return std::stoull(line.substr(8)) << 10;
  }
  return 0;
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void measure(const std::string& what, const std::string& path, const qi::test::BuiltModel& built) {
  constexpr int kRuns = 5;
  // The first opening also brings this program's own pages into memory.
  for (const qi::Candidate& candidate : qi::find_models(path).models) qi::open_model(candidate);
  std::vector<double> times;
  std::uint64_t payload_read = 0;
  std::size_t weights = 0;
  for (int run = 0; run < kRuns; ++run) {
    const std::uint64_t read_before = bytes_read();
    const std::uint64_t mapped_before = mapped_file_bytes();
    const auto begin = Clock::now();
    const qi::Catalog catalog = qi::find_models(path);
    weights = 0;
    std::uint64_t mapped = 0;
    for (const qi::Candidate& candidate : catalog.models) {
      const qi::Model model = qi::open_model(candidate);
      weights += model.weights.size();
      mapped = std::max(mapped, mapped_file_bytes());
    }
    times.push_back(seconds_since(begin));
    const std::uint64_t read = bytes_read() - read_before;
    payload_read = std::max<std::uint64_t>(
        payload_read, (read > built.header_bytes ? read - built.header_bytes : 0) +
                          (mapped > mapped_before ? mapped - mapped_before : 0));
  }
  std::sort(times.begin(), times.end());
  fmt::print(
      "{:<34} {:>8} weights {:>9.1f} GB {:>7.1f} MB of headers  best {:>6.1f} ms  median "
      "{:>6.1f} ms  read beyond headers {:>5} KiB  peak {:>4.0f} MiB\n",
      what, weights, static_cast<double>(built.payload_bytes) / 1e9,
      static_cast<double>(built.header_bytes) / 1e6, times.front() * 1e3, times[kRuns / 2] * 1e3,
      payload_read >> 10, peak_mib());
}

void measure_header(const std::string& path) {
  const auto file = qi::File::open(path);
  double best = 1e9;
  std::uint64_t length = 0;
  for (int run = 0; run < 7; ++run) {
    const auto begin = Clock::now();
    length = qi::read_safetensors(*file).data_begin;
    best = std::min(best, seconds_since(begin));
  }
  fmt::print("{:<34} {:.1f} ms for {:.1f} MB, {:.0f} MB/s\n", "  of which its header alone",
             best * 1e3, static_cast<double>(length) / 1e6,
             static_cast<double>(length) / best / 1e6);
}

}  // namespace

int main() {
  std::string root = (std::filesystem::temp_directory_path() / "qinspect-bench-XXXXXX").string();
  if (mkdtemp(root.data()) == nullptr) return 1;
  const auto folder = [&](const char* name) {
    const std::string path = root + "/" + name;
    std::filesystem::create_directory(path);
    return path;
  };
  namespace build = qi::test;
  const std::string large = folder("large") + "/model.safetensors";
  measure("50 GB in one file of 500 tensors", large,
          build::build_large_file(large, 500, 50'000'000'000));
  const std::string llama = folder("llama");
  measure("Llama-3-8B in four shards", llama, build::build_llama3_8b(llama));
  const std::string quants = folder("quants");
  measure("twelve GGUF quants", quants, build::build_gguf_quants(quants));
  const std::string huge = folder("huge");
  measure("Llama-3.1-405B FP8 in 109 shards", huge, build::build_llama3_405b_fp8(huge));
  const std::string many = folder("many") + "/model.safetensors";
  measure("100,000 tensors in one file", many, build::build_many_tensors(many, 100'000));
  measure_header(many);
  const std::string deepseek = folder("deepseek");
  measure("DeepSeek-V3 FP8 in 163 shards", deepseek, build::build_deepseek_v3(deepseek));
  std::filesystem::remove_all(root);
  return 0;
}
