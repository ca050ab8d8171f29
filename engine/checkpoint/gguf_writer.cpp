#include "engine/checkpoint/gguf_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "engine/checkpoint/gguf_plan.h"
#include "engine/format/gguf_header.h"
#include "engine/format/open.h"
#include "engine/io/checked.h"
#include "engine/io/xxh3.h"
#include "engine/quant/ggml_quantize.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

constexpr std::uint64_t kTileElements = 1 << 18;
constexpr std::uint64_t kTilesAtOnce = 16;

/// The row of a Hugging Face q or k that llama.cpp keeps at `row`: the other way round of
/// rotary_row().
std::uint64_t unpaired_row(std::uint64_t row, std::uint64_t head_rows) {
  const std::uint64_t in_head = row % head_rows;
  return row - in_head + in_head / 2 + in_head % 2 * (head_rows / 2);
}

/// The numbers of some rows of a tensor.
class RowSource {
 public:
  RowSource(const Model& model, const GgufTensorPlan& tensor) : model_(model), tensor_(tensor) {}

  void read(std::uint64_t first, std::uint64_t count, float* out) {
    if (tensor_.sources.empty()) {
      std::copy(tensor_.values.begin(), tensor_.values.end(), out);
      return;
    }
    const std::uint64_t cols = tensor_.cols();
    if (tensor_.head_rows != 0 && tensor_.shape.size() < 2) {
      // A bias: its rows are numbers.
      std::vector<float> whole(cols);
      reader(0).values({0, 1, 0, cols}, whole.data());
      for (std::uint64_t i = 0; i < cols; ++i) out[i] = whole[unpaired_row(i, tensor_.head_rows)];
    } else {
      const std::uint64_t each = tensor_.rows() / tensor_.sources.size();
      for (std::uint64_t done = 0; done < count;) {
        const std::uint64_t row = first + done;
        const std::uint64_t in_source = row % each;
        const bool paired = tensor_.head_rows != 0;
        const std::uint64_t from = paired ? unpaired_row(in_source, tensor_.head_rows) : in_source;
        const std::uint64_t rows = paired ? 1 : std::min(count - done, each - in_source);
        reader(row / each).values({from, rows, 0, cols}, out + done * cols);
        done += rows;
      }
    }
    if (tensor_.added == 0) return;
    for (std::uint64_t i = 0; i < count * cols; ++i) out[i] += tensor_.added;
  }

 private:
  WeightReader& reader(std::uint64_t source) {
    if (reader_ == nullptr || source != source_) {
      reader_ = open_reader(model_, *tensor_.sources[source]);
      source_ = source;
    }
    return *reader_;
  }

  const Model& model_;
  const GgufTensorPlan& tensor_;
  std::unique_ptr<WeightReader> reader_;
  std::uint64_t source_ = 0;
};

class GgufWriter {
 public:
  GgufWriter(const Model& model, const std::string& path, const GgufOptions& options)
      : model_(model),
        options_(options),
        plan_(make_gguf_plan(model, options)),
        out_(path, output_of(model, options)),
        digest_(XXH3_createState(), XXH3_freeState) {
    if (digest_ == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(digest_.get());
  }

  GgufResult write() {
    const std::string header = plan_.header();
    out_.reserve(header.size() + plan_.data_bytes);
    put(std::as_bytes(std::span(header)));
    GgufResult result;
    for (const GgufTensorPlan& tensor : plan_.tensors) {
      if (!write_tensor(tensor)) {
        result.cancelled = true;
        return result;
      }
      for (const Weight* weight : tensor.sources) {
        result.bytes_in += weight->size_bytes;
        for (const Part& part : weight->parts) model_.file(model_.tensor(part)).check_unchanged();
      }
      result.quantized += tensor.type != DType::kF32 ? 1 : 0;
    }
    out_.finish();
    check_written();
    out_.commit();
    result.tensors = plan_.tensors.size();
    result.bytes = out_.size();
    result.notes = plan_.notes;
    return result;
  }

 private:
  static OutputOptions output_of(const Model& model, const GgufOptions& options) {
    OutputOptions output = options.output;
    for (const auto& file : model.files) output.inputs.push_back(file->identity());
    return output;
  }

  void put(std::span<const std::byte> bytes) {
    XXH3_128bits_update(digest_.get(), bytes.data(), bytes.size());
    out_.write(bytes);
  }

  /// Tiles of whole rows of one matrix, some at a time on all threads, in their order to the file.
  bool write_tensor(const GgufTensorPlan& tensor) {
    const std::uint64_t cols = tensor.cols();
    const std::uint64_t matrix_rows =
        tensor.shape.size() < 2 ? 1 : tensor.shape[tensor.shape.size() - 2];
    const std::uint64_t tile_rows =
        std::clamp<std::uint64_t>(kTileElements / std::max<std::uint64_t>(cols, 1), 1,
                                  std::max<std::uint64_t>(matrix_rows, 1));
    std::vector<Tile> tiles;
    for (std::uint64_t row = 0; row < tensor.rows();) {
      const std::uint64_t left = matrix_rows - row % matrix_rows;
      tiles.push_back({row, std::min(tile_rows, left), 0, cols});
      row += tiles.back().rows;
    }
    std::vector<Buffer> coded(kTilesAtOnce);
    for (std::size_t first = 0; first < tiles.size(); first += kTilesAtOnce) {
      const std::uint64_t count = std::min<std::uint64_t>(kTilesAtOnce, tiles.size() - first);
      const bool whole = options_.workers.each(
          count, count * tile_rows * cols * 64, [&](WorkBuffers& buffers, std::uint64_t i) {
            encode(tensor, tiles[first + i], matrix_rows, buffers.first, coded[i]);
          });
      if (!whole) return false;
      for (std::uint64_t i = 0; i < count; ++i) {
        put(coded[i]);
        done_ += tiles[first + i].rows * cols;
      }
      if (options_.progress) options_.progress(done_, plan_.elements);
    }
    const std::array<std::byte, GgufPlan::kAlignment> zeros{};
    put(std::span(zeros).first(static_cast<std::size_t>(
        (GgufPlan::kAlignment - tensor.bytes % GgufPlan::kAlignment) % GgufPlan::kAlignment)));
    return true;
  }

  void encode(const GgufTensorPlan& tensor, const Tile& tile, std::uint64_t matrix_rows,
              std::vector<float>& values, Buffer& out) const {
    values.resize(tile.rows * tile.cols);
    RowSource(model_, tensor).read(tile.row, tile.rows, values.data());
    out.resize(stored_bytes(tensor.type, values.size()).value());
    if (tensor.type == DType::kF32) {
      std::memcpy(out.data(), values.data(), out.size());
      return;
    }
    if (is_block(tensor.type)) refuse_odd(tensor, tile, values);
    const float* importance = nullptr;
    if (!tensor.importance.empty()) {
      importance = tensor.importance.data() + tile.row / matrix_rows * tile.cols;
    }
    quantize_blocks(tensor.type, values.data(), tile.rows, tile.cols, importance, out.data());
  }

  void refuse_odd(const GgufTensorPlan& tensor, const Tile& tile,
                  const std::vector<float>& values) const {
    for (std::uint64_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i])) continue;
      throw Error(ErrorCode::kBadValue,
                  fmt::format("{} has {} in row {}, column {}", tensor.name, values[i],
                              tile.row + i / tile.cols, i % tile.cols),
                  "finite weights", model_.path);
    }
  }

  void check_written() const {
    const auto file = File::open(out_.temporary_path());
    std::vector<Warning> warnings;
    const GgufHeader header = read_gguf_header(file, warnings);
    bool same = header.tensors.size() == plan_.tensors.size() && file->size() == out_.size();
    for (std::size_t i = 0; same && i < plan_.tensors.size(); ++i) {
      same = header.tensors[i].name == plan_.tensors[i].name &&
             header.tensors[i].offset == plan_.tensors[i].offset;
    }
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> read(XXH3_createState(),
                                                                               XXH3_freeState);
    if (read == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(read.get());
    Buffer bytes(1 << 20);
    for (std::uint64_t at = 0; same && at < file->size(); at += bytes.size()) {
      const auto piece = std::span(bytes).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), file->size() - at)));
      file->read_at(at, piece);
      XXH3_128bits_update(read.get(), piece.data(), piece.size());
    }
    if (!same ||
        XXH128_isEqual(XXH3_128bits_digest(read.get()), XXH3_128bits_digest(digest_.get())) == 0) {
      throw Error(ErrorCode::kIo, "what was written reads back differently", {}, out_.path());
    }
  }

  const Model& model_;
  const GgufOptions& options_;
  GgufPlan plan_;
  AtomicFile out_;
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> digest_;
  std::uint64_t done_ = 0;
};

}  // namespace

GgufResult write_gguf(const Model& model, const std::string& path, const GgufOptions& options) {
  return GgufWriter(model, path, options).write();
}

}  // namespace qi
