#include "engine/format/imatrix.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "engine/format/gguf.h"
#include "engine/format/qstore_digest.h"
#include "engine/io/reader.h"
#include "engine/tensor/name_map.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

using Entries = std::map<std::string, std::vector<float>, std::less<>>;

constexpr std::string_view kSum = ".in_sum2", kCounts = ".counts";

std::uint32_t positive(Reader& in, std::string_view what, int least) {
  const std::uint64_t at = in.position();
  const auto value = in.number<std::int32_t>(what);
  if (value < least) {
    in.fail(ErrorCode::kBadValue, at, fmt::format("{} is {}", what, value),
            fmt::format("at least {}", least));
  }
  return static_cast<std::uint32_t>(value);
}

bool sound(float value) {
  return std::isfinite(value) && value >= 0;
}

// i32 count; then for each: i32 length, name, i32 calls, i32 values, the values as float32: mean
// squares times calls. Then perhaps i32 chunk, i32 length, name of the data.
Entries read_records(const std::shared_ptr<const File>& file, std::vector<Warning>& warnings) {
  Reader in(file);
  Entries entries;
  const std::uint32_t count = positive(in, "number of entries", 1);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t length = positive(in, "length of a name", 1);
    const std::uint64_t name_at = in.position();
    const auto bytes = in.take(length, "name of an entry");
    std::string name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto calls = static_cast<float>(positive(in, "number of calls", 1));
    const std::uint32_t size = positive(in, "number of values", 1);
    if (size > in.remaining() / sizeof(float)) {
      in.fail(ErrorCode::kTruncated, in.position(), fmt::format("the values of {}", name),
              fmt::format("{} numbers, {} bytes are left", size, in.remaining()));
    }
    std::vector<float> values(size);
    for (float& value : values) {
      const std::uint64_t at = in.position();
      value = in.number<float>("importance");
      if (!sound(value)) {
        in.fail(ErrorCode::kBadValue, at, fmt::format("an importance of {}", value),
                "a sum of squares");
      }
      value /= calls;
    }
    if (!entries.emplace(name, std::move(values)).second) {
      in.fail(ErrorCode::kDuplicate, name_at, fmt::format("two entries are called {}", name));
    }
  }
  if (in.remaining() == 0) {
    warnings.push_back({file->path(),
                        "says neither its chunks nor its data: an old importance "
                        "matrix, perhaps of an interrupted run"});
    return entries;
  }
  in.number<std::int32_t>("last chunk");
  in.skip(positive(in, "length of the data's name", 0), "name of the data");
  if (in.remaining() != 0) {
    in.fail(ErrorCode::kTrailing, in.position(),
            fmt::format("{} bytes behind the last field", in.remaining()), "the end of the file");
  }
  return entries;
}

void check_type(const Model& model, std::string_view key, std::string_view type) {
  const MetaEntry* entry = model.metadata.find(key);
  if (entry == nullptr || entry->type == type) return;
  throw Error(ErrorCode::kBadSchema, fmt::format("{} is {}", key, entry->type), std::string(type),
              model.files.front()->path(), entry->offset);
}

std::vector<float> numbers_of(const Model& model, const Tensor& tensor) {
  if (tensor.dtype != DType::kF32) {
    throw Error(ErrorCode::kBadSchema,
                fmt::format("{} holds {}", tensor.name, info(tensor.dtype).name), "F32",
                model.file(tensor).path(), tensor.offset);
  }
  std::vector<float> values(tensor.size_bytes / sizeof(float));
  Buffer bytes(tensor.size_bytes);
  model.file(tensor).read_at(tensor.offset, bytes);
  to_floats(DType::kF32, bytes.data(), values.size(), model.big_endian, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (sound(values[i])) continue;
    throw Error(ErrorCode::kBadValue, fmt::format("{} holds {}", tensor.name, values[i]),
                "sums of squares and counts", model.file(tensor).path(),
                tensor.offset + i * sizeof(float));
  }
  return values;
}

// Two F32 tensors a weight: NAME.in_sum2 [matrices, cols] and NAME.counts [matrices, 1].
Entries read_tensors(const std::string& path, std::vector<Warning>& warnings) {
  const Model model = open_gguf({path});
  if (model.metadata.text("general.type").value_or("") != "imatrix") {
    throw Error(ErrorCode::kBadSchema, "a GGUF file of another kind", "general.type \"imatrix\"",
                path);
  }
  check_type(model, "imatrix.chunk_count", "u32");
  check_type(model, "imatrix.chunk_size", "u32");
  check_type(model, "imatrix.datasets", "array[string]");
  std::map<std::string_view, const Tensor*> counts;
  for (const Tensor& tensor : model.tensors) {
    const std::string_view name = tensor.name;
    if (name.ends_with(kCounts)) counts[name.substr(0, name.size() - kCounts.size())] = &tensor;
  }
  Entries entries;
  for (const Tensor& tensor : model.tensors) {
    if (!tensor.name.ends_with(kSum)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSum.size());
    const auto found = counts.find(name);
    if (found == counts.end()) {
      throw Error(ErrorCode::kMissing, fmt::format("{} has no counts", name), name + ".counts",
                  path);
    }
    std::vector<float> values = numbers_of(model, tensor);
    const std::vector<float> calls = numbers_of(model, *found->second);
    if (calls.empty() || values.empty() || values.size() % calls.size() != 0) {
      throw Error(ErrorCode::kBadShape,
                  fmt::format("{} numbers for {} counts of {}", values.size(), calls.size(), name),
                  "as many for each count", path, tensor.offset);
    }
    const std::size_t cols = values.size() / calls.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float count = calls[i / cols];
      if (count == 0 && i % cols == 0) {
        warnings.push_back({path, fmt::format("matrix {} of {} was never used: its columns count "
                                              "alike",
                                              i / cols, name)});
      }
      values[i] = count == 0 ? 1.0f : values[i] / count;
    }
    entries.emplace(name, std::move(values));
  }
  if (entries.empty()) {
    throw Error(ErrorCode::kBadValue, "no entries", "tensors called NAME.in_sum2", path);
  }
  return entries;
}

std::string digest_of(const File& file) {
  constexpr std::uint64_t kStep = 1 << 20;
  DigestState digest;
  Buffer bytes;
  for (std::uint64_t at = 0; at < file.size(); at += kStep) {
    bytes.resize(std::min(kStep, file.size() - at));
    file.read_at(at, bytes);
    digest.add(bytes);
  }
  return fmt::format("{:016x}", digest.value().high);
}

}  // namespace

ImportanceMatrix ImportanceMatrix::read(const std::string& path) {
  const std::shared_ptr<const File> file = File::open(path);
  ImportanceMatrix matrix;
  std::array<std::byte, 4> head{};
  if (file->size() >= head.size()) file->read_at(0, head);
  matrix.entries_ = std::memcmp(head.data(), "GGUF", 4) == 0 ? read_tensors(path, matrix.warnings_)
                                                             : read_records(file, matrix.warnings_);
  matrix.digest_ = digest_of(*file);
  return matrix;
}

std::span<const float> ImportanceMatrix::find(std::string_view weight_name, std::uint64_t cols,
                                              std::uint64_t matrices) const {
  auto found = entries_.find(weight_name);
  std::uint64_t first = 0;
  if (found == entries_.end()) {
    const std::optional<GgufName> name = gguf_name(weight_name);
    if (!name) return {};
    found = entries_.find(name->name);
    if (name->expert > 0) first = static_cast<std::uint64_t>(name->expert);
  }
  if (found == entries_.end() || cols == 0) return {};
  const std::vector<float>& values = found->second;
  // An expert that is stored by itself finds its matrix in the entry of the stack.
  if (values.size() % cols != 0 || values.size() / cols < first + matrices) return {};
  if (first == 0 && matrices > 1 && values.size() / cols != matrices) return {};
  return std::span(values).subspan(first * cols, matrices * cols);
}

}  // namespace qi
