// Any bytes as numbers of a model: the first ones choose dtype, shape, options and whether there is
// an int8 version below (computed, or other bytes of the input), or ones of 8 and 4 bits; the
// container that holds it decodes to the same files.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tests/format/qstore_fixture.h"

namespace {

constexpr std::size_t kHead = 6;
constexpr std::uint64_t kMaxElements = 4096;

void check(bool holds) {
  if (!holds) std::abort();
}

// The input again and again, or zeros.
std::string repeated(std::string_view bytes, std::uint64_t size) {
  std::string out;
  while (out.size() < size && !bytes.empty()) {
    out.append(bytes.substr(0, std::min<std::size_t>(bytes.size(), size - out.size())));
  }
  out.resize(size, '\0');
  return out;
}

std::vector<qi::DType> types() {
  std::vector<qi::DType> found;
  for (const qi::DTypeInfo& type : qi::all_dtypes()) {
    if (type.in_safetensors) found.push_back(type.type);
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const qi::test::TempDir dir;
  static const std::vector<qi::DType> kTypes = types();
  if (size < kHead) return 0;
  const qi::DType type = kTypes[data[0] % kTypes.size()];
  const std::uint64_t rows = data[1] % 65;
  const std::uint64_t cols = (data[2] | (data[3] & 3) << 8) + std::uint64_t{1};
  const std::string_view payload(reinterpret_cast<const char*>(data) + kHead, size - kHead);
  const auto bytes = qi::stored_bytes(type, rows * cols);
  if (!bytes || rows * cols > kMaxElements) return 0;
  qi::EncodeOptions options;
  options.threads = 1 + data[4] % 2;
  options.block_weights = std::uint64_t{1024} << data[4] % 3;
  options.effort = (data[4] & 8) != 0 ? qi::PlaneEffort::kRatio : qi::PlaneEffort::kFast;
  std::filesystem::remove_all(dir.path());
  dir.write("a/model.safetensors",
            qi::test::safetensors_bytes(
                {{"m.weight", type, {rows, cols}, repeated(payload, *bytes)},
                 {"n.weight", qi::DType::kU8, {payload.size()}, std::string(payload)}}));
  std::vector<std::string> levels = {dir / "a"};
  const bool narrow = (type == qi::DType::kBF16 || type == qi::DType::kF16) && rows != 0;
  if (data[5] % 4 == 1 && narrow) levels.push_back("int8");
  if (data[5] % 4 == 2) {
    dir.write("b/model.safetensors",
              qi::test::safetensors_bytes(
                  {{"m.weight", qi::DType::kI8, {rows, cols}, repeated(payload, rows * cols)},
                   {"m.SCB", qi::DType::kF32, {rows}, repeated(payload, 4 * rows)}}));
    levels.push_back(dir / "b");
  }
  if (data[5] % 4 == 3 && rows != 0 && cols % 8 == 0) {
    const std::uint64_t groups = 1 + cols % 3;
    const std::int64_t shape[2] = {static_cast<std::int64_t>(rows),
                                   static_cast<std::int64_t>(cols)};
    const std::string shape_bytes(reinterpret_cast<const char*>(shape), sizeof shape);
    for (const auto& [name, words] : {std::pair("b", cols / 4), std::pair("c", cols / 8)}) {
      dir.write(std::string(name) + "/model.safetensors",
                qi::test::safetensors_bytes(
                    {{"m.weight_packed",
                      qi::DType::kI32,
                      {rows, words},
                      repeated(payload.substr(payload.size() / 3), 4 * rows * words)},
                     {"m.weight_scale",
                      qi::DType::kBF16,
                      {rows, groups},
                      repeated(payload, 2 * rows * groups)},
                     {"m.weight_shape", qi::DType::kI64, {2}, shape_bytes}}));
      levels.push_back(dir / name);
    }
  }
  const std::string out = dir / "m.qstore";
  const qi::EncodeResult result = qi::test::encode(out, levels, options);
  check(result.container_bytes <= result.source_bytes + result.source_bytes / 1000 + 4096);
  check(qi::test::faults_of(*qi::test::open_container(out)).empty());
  qi::test::decode(out, "all", dir / "all");
  for (const char* level : {"a", "b", "c"}) {
    const bool there = std::filesystem::exists(dir / level);
    check(there == std::filesystem::exists(dir / (std::string("all/") + level)));
    if (there)
      check(qi::test::contents(dir / level) ==
            qi::test::contents(dir / (std::string("all/") + level)));
  }
  return 0;
}
