// Lossless codecs (engine/codec) behind the interface of the methods.
#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "engine/codec/baselines.h"
#include "engine/codec/little_endian.h"
#include "engine/codec/plane_codec.h"
#include "engine/io/error.h"
#include "engine/methods/families.h"
#include "engine/methods/grid.h"

namespace qi {
namespace {

constexpr std::array kOptions = {
    GridOption{"codecs", "store,zstd", "store,zstd", "what codes the numbers as stored"},
    GridOption{"levels", "1 to 22", "3", "of zstd alone"},
};
constexpr std::array<std::string_view, 2> kCodecs = {"store", "zstd"};

struct Setting {
  std::string_view codec;
  int level = 0;
};

Setting setting_of(const Params& params) {
  Setting setting;
  ParamReader reader("lossless", params);
  setting.codec = reader.choice("codec", kCodecs);
  if (setting.codec == "zstd") setting.level = static_cast<int>(reader.integer("level", 1, 22));
  reader.finish();
  return setting;
}

std::uint64_t row_bytes(const MatrixInfo& matrix) {
  return matrix.cols * static_cast<std::uint64_t>(element_bits(matrix.dtype)) / 8;
}

class StoreCoder : public MethodCoder {
 public:
  explicit StoreCoder(const MatrixInfo&) {}
  bool lossless() const override { return true; }
  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    out.assign(rows.stored.begin(), rows.stored.end());
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    if (coded.size() != rows.stored.size()) {
      throw Error(ErrorCode::kCorrupt, fmt::format("a strip of {} bytes", coded.size()),
                  fmt::format("{} bytes", rows.stored.size()));
    }
    std::copy(coded.begin(), coded.end(), rows.stored.begin());
  }
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<StoreCoder>(*this);
  }
};

// Strips of whole blocks: some rows, cut where they are longer than a block. A block's bytes
// follow their number, u32.
class BlockCoder : public MethodCoder {
 public:
  explicit BlockCoder(const MatrixInfo& matrix)
      : row_bytes_(row_bytes(matrix)),
        block_rows_(std::max<std::uint64_t>(1, kPlaneBlock / matrix.cols)),
        block_bytes_(std::min(block_rows_ * matrix.cols, std::uint64_t{kPlaneBlock}) * row_bytes_ /
                     matrix.cols) {}
  bool lossless() const override { return true; }
  std::uint64_t strip_rows() const override { return block_rows_; }

  void encode(const MatrixRows& rows, std::vector<std::byte>& out) override {
    out.clear();
    each_block(rows.stored, [&](std::span<const std::byte> block) {
      const std::span<const std::byte> coded = encode_block(block);
      const std::size_t at = out.size();
      out.resize(at + 4 + coded.size());
      store_u32(out.data() + at, static_cast<std::uint32_t>(coded.size()));
      std::copy(coded.begin(), coded.end(), out.begin() + static_cast<std::ptrdiff_t>(at + 4));
    });
  }
  void decode(std::span<const std::byte> coded, const DecodedRows& rows) override {
    each_block(rows.stored, [&](std::span<std::byte> block) {
      const std::size_t size = coded.size() < 4 ? 0 : load_u32(coded.data());
      if (coded.size() < 4 || size > coded.size() - 4) refuse();
      decode_block(coded.subspan(4, size), block);
      coded = coded.subspan(4 + size);
    });
    if (!coded.empty()) refuse();
  }

 protected:
  /// Valid until the next call.
  virtual std::span<const std::byte> encode_block(std::span<const std::byte> block) = 0;
  virtual void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) = 0;
  [[noreturn]] static void refuse() {
    throw Error(ErrorCode::kCorrupt, "a block that does not decode", "as many bytes as were coded");
  }

 private:
  template <typename Bytes, typename Use>
  void each_block(Bytes bytes, Use&& use) const {
    const std::uint64_t unit = block_rows_ * row_bytes_;
    for (std::uint64_t row = 0; row < bytes.size(); row += unit) {
      const Bytes some = bytes.subspan(row, std::min(unit, bytes.size() - row));
      for (std::uint64_t at = 0; at < some.size(); at += block_bytes_) {
        use(some.subspan(at, std::min(block_bytes_, some.size() - at)));
      }
    }
  }

  std::uint64_t row_bytes_;
  std::uint64_t block_rows_;
  std::uint64_t block_bytes_;
};

class ZstdMethodCoder : public BlockCoder {
 public:
  ZstdMethodCoder(const MatrixInfo& matrix, int level)
      : BlockCoder(matrix), matrix_(matrix), level_(level), zstd_(level) {}
  std::unique_ptr<MethodCoder> clone() const override {
    return std::make_unique<ZstdMethodCoder>(matrix_, level_);
  }

 protected:
  std::span<const std::byte> encode_block(std::span<const std::byte> block) override {
    return zstd_.encode(block);
  }
  void decode_block(std::span<const std::byte> coded, std::span<std::byte> block) override {
    if (!zstd_.decode(coded, block)) refuse();
  }

 private:
  MatrixInfo matrix_;
  int level_;
  ZstdCoder zstd_;
};

std::vector<Params> expand(const GridOptions& given) {
  std::vector<Params> list;
  for (const std::string& codec : grid_values(given, kOptions[0])) {
    read_choice("--codecs", codec, kCodecs);
    Params params;
    params.set("codec", codec);
    if (codec != "zstd") {
      add_once(list, std::move(params));
      continue;
    }
    for (const std::string& level : grid_values(given, kOptions[1])) {
      read_integer("--levels", level, 1, 22);
      params.set("level", level);
      add_once(list, params);
    }
  }
  return list;
}

std::string unfit(const Params& params, const MatrixInfo& matrix) {
  setting_of(params);
  if (!is_plain(matrix.dtype)) {
    return fmt::format("{} is not stored as plain numbers", info(matrix.dtype).name);
  }
  if (matrix.cols * static_cast<std::uint64_t>(element_bits(matrix.dtype)) % 8 != 0) {
    return fmt::format("a row of {} {} does not end at a byte", matrix.cols,
                       info(matrix.dtype).name);
  }
  return {};
}

std::unique_ptr<MethodCoder> make(const Params& params, const MatrixInfo& matrix) {
  const std::string odd = unfit(params, matrix);
  if (!odd.empty()) throw Error(ErrorCode::kBadDtype, odd, "plain numbers in rows of whole bytes");
  const Setting setting = setting_of(params);
  if (setting.codec == "store") return std::make_unique<StoreCoder>(matrix);
  return std::make_unique<ZstdMethodCoder>(matrix, setting.level);
}

std::optional<std::uint64_t> predict(const Params& params, const MatrixInfo& matrix) {
  if (setting_of(params).codec != "store" || !unfit(params, matrix).empty()) return std::nullopt;
  return matrix.rows * row_bytes(matrix);
}

std::string label(const Params& params) {
  const Setting setting = setting_of(params);
  return setting.level == 0 ? std::string(setting.codec)
                            : fmt::format("{} {}", setting.codec, setting.level);
}

}  // namespace

MethodFamily lossless_family() {
  return {"lossless", "every bit comes back", kOptions, 1, expand, unfit, make, predict, label};
}

}  // namespace qi
