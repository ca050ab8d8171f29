// Any bytes as a file of saved logits, in two ways: as they are, and (first byte odd) as the text
// of a header and one window around which magic and checksums are put right, so that what they
// guard is reached. Refused with qi::Error, or opened; then its window is refused or is one of
// probabilities.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <xxhash.h>

#include "engine/io/error.h"
#include "eval/evaluation/saved_logits.h"
#include "tests/support/memory_file.h"

namespace {

template <typename T>
void append(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// The first byte says how long the header is.
std::string wrapped(std::string_view bytes) {
  if (bytes.empty()) return {};
  const std::size_t length =
      std::min<std::size_t>(static_cast<unsigned char>(bytes[0]) * 2u, bytes.size() - 1);
  std::string out = "qilogits";
  append(out, std::uint32_t{1});
  append(out, static_cast<std::uint32_t>(length));
  out += bytes.substr(1, length);
  append(out, XXH3_64bits(out.data(), out.size()));
  const std::string_view window = bytes.substr(1 + length);
  out += window;
  append(out, XXH3_64bits(window.data(), window.size()));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static qi::test::MemoryFile file;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const bool wrap = !bytes.empty() && (bytes[0] & 1) != 0;
  const std::string path = file.set(wrap ? wrapped(bytes.substr(1)) : std::string(bytes));
  try {
    const qi::SavedLogits saved(path);
    if (saved.facts().positions < 1 || saved.facts().positions > size) return 0;
    qi::PerplexityOptions options;
    options.context = saved.facts().positions + 1;
    const qi::PerplexityPlan plan(std::vector<std::int32_t>(options.context), options, 0);
    for (const qi::SavedPosition& position : saved.window(plan, 0)) {
      if (!(position.tail >= 0 && position.tail <= 1.001) || std::isnan(position.nll)) std::abort();
    }
  } catch (const qi::Error& error) {
    if (error.offset && *error.offset > size + 64) std::abort();
  }
  return 0;
}
