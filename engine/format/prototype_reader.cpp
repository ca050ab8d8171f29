#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "engine/codec/huff0.h"
#include "engine/format/prototype.h"
#include "engine/format/prototype_segment.h"
#include "engine/tensor/numbers.h"

namespace qi {
namespace {

const Part* find_part(const Model& model, const Weight& weight, bool quant) {
  for (const Part& part : weight.parts) {
    if ((model.tensor(part).dtype == DType::kI8) == quant) return &part;
  }
  return nullptr;
}

SegmentPlace place_of(const Model& model, const Part& part) {
  const Tensor& tensor = model.tensor(part);
  return {model.files[tensor.file], tensor.offset, tensor.size_bytes};
}

/// False when the bytes do not decode. Throws kChanged when they are not the file's any more.
bool decode_chunk(const File& file, const Chunk& chunk, Huff0Decoder& huff0, Buffer& scratch,
                  std::span<std::byte> out) {
  const auto stored = file.bytes(chunk.offset, chunk.stored, scratch);
  bool ok = true;
  if (chunk.type == ChunkType::kRaw) {
    std::memcpy(out.data(), stored.data(), chunk.size);
  } else {
    ok = huff0.decode(stored, out);
  }
  file.check();
  return ok;
}

[[noreturn]] void throw_corrupt(const File& file, const Chunk& chunk, std::string_view what,
                                std::uint64_t number) {
  throw Error(ErrorCode::kCorrupt, fmt::format("{} {} does not decode", what, number),
              fmt::format("{} bytes", chunk.size), file.path(), chunk.offset);
}

/// Rows of each group in raster order, one after the other: rows [begin[g], begin[g + 1]).
struct GroupRows {
  std::vector<std::uint32_t> begin;
  std::vector<std::uint32_t> rows;
};

GroupRows rows_by_group(const OrigSegment& orig) {
  GroupRows by_group;
  by_group.begin.assign(orig.groups + 1ull, 0);
  for (const std::uint32_t group : orig.row_group) ++by_group.begin[group + 1ull];
  for (std::size_t g = 0; g < orig.groups; ++g) by_group.begin[g + 1] += by_group.begin[g];
  std::vector<std::uint32_t> next(by_group.begin.begin(), by_group.begin.end() - 1);
  by_group.rows.resize(orig.row_group.size());
  for (std::uint32_t row = 0; row < orig.row_group.size(); ++row) {
    by_group.rows[next[orig.row_group[row]]++] = row;
  }
  return by_group;
}

/// Gives the bytes of one stream in order, a chunk of it in memory at a time.
class StreamCursor {
 public:
  void start(const Stream& stream) {
    chunks_ = stream.chunks;
    next_ = 0;
    at_ = end_ = nullptr;
    index_ = stream.index();
    offset_ = stream.offset;
  }
  std::uint8_t take(const File& file, Huff0Decoder& huff0) {
    if (at_ == end_) refill(file, huff0);
    return static_cast<std::uint8_t>(*at_++);
  }
  void expect_end(const File& file) const {
    if (at_ != end_ || next_ != chunks_.size()) {
      throw Error(ErrorCode::kInconsistent,
                  fmt::format("stream {} holds more than the int8 matrix asks for", index_), {},
                  file.path(), offset_);
    }
  }

 private:
  void refill(const File& file, Huff0Decoder& huff0) {
    if (next_ == chunks_.size()) {
      throw Error(ErrorCode::kInconsistent,
                  fmt::format("stream {} holds less than the int8 matrix asks for", index_), {},
                  file.path(), offset_);
    }
    const Chunk& chunk = chunks_[next_++];
    // Raw bytes of any length stay where they are; coded ones are at most a block.
    if (chunk.type == ChunkType::kRaw) {
      const auto bytes = file.bytes(chunk.offset, chunk.stored, data_);
      at_ = bytes.data();
    } else {
      if (data_.size() < chunk.size) data_.resize(chunk.size);
      if (!decode_chunk(file, chunk, huff0, scratch_, {data_.data(), chunk.size})) {
        throw_corrupt(file, chunk, "stream", index_);
      }
      at_ = data_.data();
    }
    end_ = at_ + chunk.size;
  }

  std::vector<Chunk> chunks_;
  std::size_t next_ = 0;
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  std::uint64_t index_ = 0;
  std::uint64_t offset_ = 0;
  Buffer data_;
  Buffer scratch_;
};

/// Bytes of memory that can be had without swapping, as far as the system tells.
std::uint64_t available_memory() {
  const int fd = ::open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return UINT64_MAX;
  std::array<char, 1024> text{};
  const ssize_t got = ::read(fd, text.data(), text.size());
  ::close(fd);
  std::string_view lines(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const std::size_t key = lines.find("MemAvailable:");
  if (key == std::string_view::npos) return UINT64_MAX;
  const std::size_t digit = lines.find_first_of("0123456789", key);
  std::uint64_t kib = 0;
  if (digit == std::string_view::npos ||
      std::from_chars(lines.data() + digit, lines.data() + lines.size(), kib).ec != std::errc{}) {
    return UINT64_MAX;
  }
  return kib * 1024;
}

/// The whole 16-bit matrix. First filled with the int8 values, which are then replaced group by
/// group by what the streams give for them.
std::vector<std::uint16_t> decode_matrix(const SegmentPlace& quant_place,
                                         const SegmentPlace& orig_place) {
  const QuantSegment quant = parse_quant_segment(quant_place);
  const OrigSegment orig = parse_orig_segment(orig_place, quant);
  // A few stored bytes may honestly stand for gigabytes: better said than killed for.
  const std::uint64_t available = available_memory();
  if (quant.elements > available / sizeof(std::uint16_t)) {
    throw Error(ErrorCode::kMemory,
                fmt::format("decoding {} values needs 2 bytes each, {} bytes are available",
                            quant.elements, available),
                {}, orig_place.file->path());
  }
  std::vector<std::uint16_t> values(quant.elements);
  Huff0Decoder huff0;
  Buffer scratch;
  Buffer block(kSegmentChunkBytes);
  std::uint16_t* out = values.data();
  for (std::size_t i = 0; i < quant.chunks.size(); ++i) {
    const Chunk& chunk = quant.chunks[i];
    if (!decode_chunk(*quant_place.file, chunk, huff0, scratch, {block.data(), chunk.size})) {
      throw_corrupt(*quant_place.file, chunk, "chunk", i);
    }
    for (std::size_t k = 0; k < chunk.size; ++k) *out++ = static_cast<std::uint16_t>(block[k]);
  }

  const GroupRows by_group = rows_by_group(orig);
  const std::uint64_t columns = quant.elements / quant.shape[0];
  const File& file = *orig_place.file;
  std::vector<StreamCursor> cursors(kStreamsPerGroup);
  StreamWalk walk(orig_place, orig, quant.elements);
  Stream stream;
  for (std::uint32_t group = 0; group < orig.groups; ++group) {
    for (StreamCursor& cursor : cursors) {
      const bool more = walk.next(stream);
      assert(more);
      static_cast<void>(more);
      cursor.start(stream);
    }
    for (std::uint32_t i = by_group.begin[group]; i < by_group.begin[group + 1]; ++i) {
      std::uint16_t* row = values.data() + by_group.rows[i] * columns;
      for (std::uint64_t c = 0; c < columns; ++c) {
        const std::size_t q = row[c];
        const std::uint16_t high = cursors[2 * q].take(file, huff0);
        const std::uint16_t low = cursors[2 * q + 1].take(file, huff0);
        row[c] = static_cast<std::uint16_t>(high << 8 | low);
      }
    }
    for (const StreamCursor& cursor : cursors) cursor.expect_end(file);
  }
  walk.next(stream);  // nothing may follow
  quant_place.file->check_unchanged();
  file.check_unchanged();
  return values;
}

/// A decoded weight, shared by the readers that live at the same time.
struct Decoded {
  std::mutex mutex;
  bool ready = false;
  std::vector<std::uint16_t> values;
};

std::shared_ptr<Decoded> shared_decoded(const Model& model, const Weight& weight) {
  static std::mutex mutex;
  static std::map<std::pair<const Model*, const Weight*>, std::weak_ptr<Decoded>> all;
  const std::lock_guard lock(mutex);
  std::erase_if(all, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Decoded>& slot = all[{&model, &weight}];
  std::shared_ptr<Decoded> decoded = slot.lock();
  if (decoded == nullptr) slot = decoded = std::make_shared<Decoded>();
  return decoded;
}

class PrototypeReader final : public WeightReader {
 public:
  PrototypeReader(const Model& model, const Weight& weight)
      : WeightReader(model, weight),
        quant_place_(place_of(model, *find_part(model, weight, true))),
        quant_(parse_quant_segment(quant_place_)) {}

  int code_bits() const override { return 8; }

 private:
  void read_values(const Tile& tile, float* out) override {
    const Part* orig = find_part(model_, weight_, false);
    if (orig == nullptr) {
      throw Error(ErrorCode::kBadDtype, fmt::format("{}: {}", weight_.name, weight_.undecodable),
                  {}, quant_place_.file->path());
    }
    const DType dtype = model_.tensor(*orig).dtype;
    if (dtype == DType::kUnknown) {
      throw Error(ErrorCode::kUsage, "the folder's name does not tell BF16 from F16",
                  "--dtype bf16 or --dtype f16", model_.path);
    }
    if (decoded_ == nullptr) {
      std::shared_ptr<Decoded> decoded = shared_decoded(model_, weight_);
      const std::lock_guard lock(decoded->mutex);
      if (!decoded->ready) {
        decoded->values = decode_matrix(quant_place_, place_of(model_, *orig));
        decoded->ready = true;
      }
      decoded_ = std::move(decoded);
    }
    const std::uint64_t columns = weight_.cols();
    for (std::uint64_t row = 0; row < tile.rows; ++row) {
      const std::uint64_t first = (tile.row + row) * columns + tile.col;
      to_floats(dtype, std::as_bytes(std::span(decoded_->values)).data() + 2 * first, tile.cols,
                false, out + row * tile.cols);
    }
  }

  void read_codes(const Tile& tile, std::uint16_t* out) override {
    for (std::uint64_t row = 0; row < tile.rows; ++row) {
      std::uint64_t element = (tile.row + row) * weight_.cols() + tile.col;
      for (std::uint64_t left = tile.cols; left > 0;) {
        load_chunk(element / kSegmentChunkBytes);
        const std::uint64_t begin = element % kSegmentChunkBytes;
        const std::uint64_t count = std::min(left, kSegmentChunkBytes - begin);
        for (std::uint64_t i = 0; i < count; ++i) {
          *out++ = static_cast<std::uint16_t>(block_[begin + i]);
        }
        element += count;
        left -= count;
      }
    }
  }

  void load_chunk(std::uint64_t index) {
    if (index == loaded_) return;
    const Chunk& chunk = quant_.chunks[index];
    block_.resize(kSegmentChunkBytes);
    loaded_ = UINT64_MAX;
    if (!decode_chunk(*quant_place_.file, chunk, huff0_, scratch_, {block_.data(), chunk.size})) {
      throw_corrupt(*quant_place_.file, chunk, "chunk", index);
    }
    loaded_ = index;
  }

  SegmentPlace quant_place_;
  QuantSegment quant_;
  Huff0Decoder huff0_;
  Buffer scratch_;
  Buffer block_;
  std::uint64_t loaded_ = UINT64_MAX;
  std::shared_ptr<const Decoded> decoded_;
};

class Verifier {
 public:
  Verifier(const Model& model, const Weight& weight,
           const std::function<void(const PrototypeFault&)>& report,
           const std::atomic<bool>* cancel)
      : model_(model), weight_(weight), report_(report), cancel_(cancel) {}

  void run() {
    const SegmentPlace quant_place = place_of(model_, *find_part(model_, weight_, true));
    const Part* orig_part = find_part(model_, weight_, false);
    QuantSegment quant;
    if (!guarded("quant", [&] { quant = parse_quant_segment(quant_place); })) return;
    OrigSegment orig;
    const bool has_orig = orig_part != nullptr && guarded("orig", [&] {
                            orig = parse_orig_segment(place_of(model_, *orig_part), quant);
                          });
    // How many elements of each value each group has: what its streams must hold.
    std::vector<std::uint64_t> counts(has_orig ? orig.groups * 256ull : 0);
    const bool counted = check_quant(quant_place, quant, orig, counts);
    quant_place.file->check_unchanged();
    if (!has_orig || stopped()) return;
    const SegmentPlace orig_place = place_of(model_, *orig_part);
    guarded("orig", [&] { check_orig(orig_place, orig, quant.elements, counts, counted); });
    orig_place.file->check_unchanged();
  }

 private:
  bool stopped() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed); }

  bool check_quant(const SegmentPlace& place, const QuantSegment& quant, const OrigSegment& orig,
                   std::vector<std::uint64_t>& counts) {
    const std::uint64_t columns = quant.elements / quant.shape[0];
    bool sound = true;
    std::uint64_t element = 0;
    for (std::size_t i = 0; i < quant.chunks.size() && !stopped(); ++i) {
      const Chunk& chunk = quant.chunks[i];
      if (!decode_chunk(*place.file, chunk, huff0_, scratch_, {block_.data(), chunk.size})) {
        sound = false;
        fault("quant", i, *place.file, chunk, "chunk does not decode");
      }
      if (!counts.empty() && sound) {
        for (std::uint32_t k = 0; k < chunk.size;) {
          const std::uint64_t row = (element + k) / columns;
          const auto run = static_cast<std::uint32_t>(
              std::min<std::uint64_t>(chunk.size - k, (row + 1) * columns - (element + k)));
          std::uint64_t* of_group = counts.data() + orig.row_group[row] * 256ull;
          for (std::uint32_t end = k + run; k < end; ++k) {
            ++of_group[static_cast<std::size_t>(block_[k])];
          }
        }
      }
      element += chunk.size;
    }
    return sound;
  }

  void check_orig(const SegmentPlace& place, const OrigSegment& orig, std::uint64_t elements,
                  const std::vector<std::uint64_t>& counts, bool counted) {
    StreamWalk walk(place, orig, elements);
    for (Stream stream; !stopped() && walk.next(stream);) {
      const std::uint64_t due = counts[stream.group * 256ull + stream.q];
      if (counted && stream.size != due) {
        report_({place.file->path(), weight_.name, ErrorCode::kInconsistent, "orig", stream.index(),
                 stream.offset, 0,
                 fmt::format("stream of {} values, the int8 matrix has {}", stream.size, due)});
      }
      for (const Chunk& chunk : stream.chunks) {
        if (chunk.type == ChunkType::kRaw) continue;  // any bytes are good
        if (!decode_chunk(*place.file, chunk, huff0_, scratch_, {block_.data(), chunk.size})) {
          fault("orig", stream.index(), *place.file, chunk, "stream does not decode");
        }
      }
    }
  }

  void fault(std::string part, std::uint64_t block, const File& file, const Chunk& chunk,
             std::string message) {
    report_({file.path(), weight_.name, ErrorCode::kCorrupt, std::move(part), block, chunk.offset,
             chunk.stored, std::move(message)});
  }

  /// Runs `act`; an error of the format becomes a fault and false.
  template <typename F>
  bool guarded(const char* part, F&& act) {
    try {
      act();
      return true;
    } catch (const Error& error) {
      if (exit_status(error.code) != 2) throw;
      report_({error.file, weight_.name, error.code, part, 0, error.offset.value_or(0), 0,
               error.message + (error.expected.empty() ? "" : ": " + error.expected)});
      return false;
    }
  }

  const Model& model_;
  const Weight& weight_;
  const std::function<void(const PrototypeFault&)>& report_;
  const std::atomic<bool>* cancel_;
  Huff0Decoder huff0_;
  Buffer scratch_;
  Buffer block_ = Buffer(kSegmentChunkBytes);
};

}  // namespace

std::unique_ptr<WeightReader> open_prototype_reader(const Model& model, const Weight& weight) {
  return std::make_unique<PrototypeReader>(model, weight);
}

void verify_prototype(const Model& model, const Weight& weight,
                      const std::function<void(const PrototypeFault&)>& report,
                      const std::atomic<bool>* cancel) {
  Verifier(model, weight, report, cancel).run();
}

}  // namespace qi
