#include "engine/format/convert.h"

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <xxhash.h>

#include "engine/format/open.h"
#include "engine/format/safetensors.h"
#include "engine/io/checked.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::uint64_t kTileElements = 1 << 18;
constexpr std::size_t kReadBackBytes = 1 << 20;

/// A hash of bytes in order, to hold what was read back against what was written.
class Digest {
 public:
  Digest() : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(state_.get());
  }
  void add(std::span<const std::byte> bytes) {
    XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
  }
  bool operator==(const Digest& other) const {
    return XXH128_isEqual(XXH3_128bits_digest(state_.get()),
                          XXH3_128bits_digest(other.state_.get())) != 0;
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

struct Plan {
  std::vector<const Weight*> weights;
  std::vector<Tensor> tensors;  // offsets from the start of the data area
  std::uint64_t elements = 0;
  std::uint64_t data_bytes = 0;
};

/// What will be written. Everything that could stop it later is tried here.
Plan make_plan(const Model& model, const ConvertOptions& options) {
  if (options.type != DType::kF32 && options.type != DType::kBF16 && options.type != DType::kF16) {
    throw Error(ErrorCode::kUsage, fmt::format("cannot convert to {}", info(options.type).name),
                "F32, BF16 or F16");
  }
  Plan plan;
  std::unordered_set<std::string_view> names;
  for (const Weight& weight : model.weights) {
    if (options.selection && !options.selection(weight)) continue;
    const std::string& file = model.file(model.tensor(weight.parts.front())).path();
    if (!weight.undecodable.empty()) {
      throw Error(ErrorCode::kBadDtype,
                  fmt::format("{} cannot be decoded: {}", weight.name, weight.undecodable),
                  "a selection without it (--tensors '!NAME')", file);
    }
    if (!names.insert(weight.name).second) {
      throw Error(ErrorCode::kDuplicate, fmt::format("two weights are called {}", weight.name),
                  "names that differ", file);
    }
    open_reader(model, weight);  // refuses what it cannot read
    const std::optional<std::uint64_t> bytes = stored_bytes(options.type, weight.params);
    const std::optional<std::uint64_t> end =
        bytes ? checked_add(plan.data_bytes, *bytes) : std::nullopt;
    if (!end) {
      throw Error(ErrorCode::kOverflow,
                  fmt::format("{} has {} elements", weight.name, weight.params),
                  "a file below 2^64 bytes", file);
    }
    Tensor tensor;
    tensor.name = weight.name;
    tensor.shape = weight.shape;
    tensor.dtype = options.type;
    tensor.offset = plan.data_bytes;
    tensor.size_bytes = *bytes;
    plan.tensors.push_back(std::move(tensor));
    plan.weights.push_back(&weight);
    plan.data_bytes = *end;
    plan.elements += weight.params;
  }
  if (plan.weights.empty()) {
    throw Error(ErrorCode::kUsage, "no weight is selected", "one or more", model.path);
  }
  return plan;
}

/// Float32 numbers as little-endian bytes of `type`.
std::span<const std::byte> encode(DType type, const std::vector<float>& values, Buffer& bytes) {
  if (type == DType::kF32) return std::as_bytes(std::span(values));
  bytes.resize(2 * values.size());
  (type == DType::kBF16 ? floats_to_bf16 : floats_to_f16)(values.data(), values.size(),
                                                          bytes.data());
  return bytes;
}

void check_written(const AtomicFile& out, const Plan& plan, const Digest& written) {
  const auto file = File::open(out.temporary_path());
  const SafetensorsHeader header = read_safetensors(*file);
  bool same = header.tensors.size() == plan.tensors.size() && file->size() == out.size();
  for (std::size_t i = 0; same && i < plan.tensors.size(); ++i) {
    const Tensor& read = header.tensors[i];
    const Tensor& due = plan.tensors[i];
    same = read.name == due.name && read.shape == due.shape && read.dtype == due.dtype &&
           read.offset == header.data_begin + due.offset && read.size_bytes == due.size_bytes;
  }
  Digest digest;
  Buffer bytes(kReadBackBytes);
  for (std::uint64_t at = 0; same && at < file->size(); at += kReadBackBytes) {
    const std::span<std::byte> piece(bytes.data(),
                                     std::min<std::uint64_t>(kReadBackBytes, file->size() - at));
    file->read_at(at, piece);
    digest.add(piece);
  }
  if (!same || !(digest == written)) {
    throw Error(ErrorCode::kIo, "what was written reads back differently", {}, out.path());
  }
}

}  // namespace

ConvertResult convert_model(const Model& model, const std::string& path,
                            const ConvertOptions& options) {
  const Plan plan = make_plan(model, options);
  const std::vector<std::pair<std::string, std::string>> metadata = {{"format", "pt"}};
  const std::string header = safetensors_header(plan.tensors, metadata);
  OutputOptions output = options.output;
  for (const auto& file : model.files) output.inputs.push_back(file->identity());
  AtomicFile out(path, output);
  const auto total = checked_add<std::uint64_t>(header.size(), plan.data_bytes);
  out.reserve(total.value_or(UINT64_MAX));

  Digest digest;
  const auto write = [&](std::span<const std::byte> bytes) {
    digest.add(bytes);
    out.write(bytes);
  };
  write(std::as_bytes(std::span(header.data(), header.size())));
  std::vector<float> values;
  Buffer bytes;
  std::uint64_t done = 0;
  for (const Weight* weight : plan.weights) {
    const std::unique_ptr<WeightReader> reader = open_reader(model, *weight);
    const TileWalk walk(weight->rows(), weight->cols(), kTileElements);
    for (std::uint64_t i = 0; i < walk.size(); ++i) {
      if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) {
        return {.weights = 0, .bytes = 0, .cancelled = true};
      }
      const Tile tile = walk[i];
      values.resize(tile.rows * tile.cols);
      reader->values(tile, values.data());
      write(encode(options.type, values, bytes));
      done += values.size();
      if (options.progress) options.progress(done, plan.elements);
    }
    for (const Part& part : weight->parts) model.file(model.tensor(part)).check_unchanged();
  }
  out.finish();
  check_written(out, plan, digest);
  out.commit();
  return {.weights = plan.weights.size(), .bytes = out.size(), .cancelled = false};
}

}  // namespace qi
