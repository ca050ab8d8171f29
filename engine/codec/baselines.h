// Others' compressors as yardsticks: how many bytes they would make of a block.
// Each call is one-shot and independent, any thread; a HuffmanCoder belongs to one.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace qi {

struct FreeZstd {
  void operator()(ZSTD_CCtx_s* context) const;
  void operator()(ZSTD_DCtx_s* context) const;
};

/// The level of every ratio_zstd.
inline constexpr int kBaselineZstdLevel = 3;

/// One zstd frame a block.
class ZstdCoder {
 public:
  /// `level` 1 … 22. Throws kMemory.
  explicit ZstdCoder(int level);
  ~ZstdCoder();
  /// The frame, valid until the next call. Throws kMemory.
  std::span<const std::byte> encode(std::span<const std::byte> block);
  /// False when it does not decode to exactly out.size() bytes.
  [[nodiscard]] bool decode(std::span<const std::byte> frame, std::span<std::byte> out);

 private:
  int level_;
  std::unique_ptr<ZSTD_CCtx_s, FreeZstd> compressor_;
  std::unique_ptr<ZSTD_DCtx_s, FreeZstd> decompressor_;
  std::vector<std::byte> out_;
};

/// Bytes of one zstd frame of `block`. Throws kMemory when the compressor cannot allocate.
std::size_t zstd_size(std::span<const std::byte> block, int level = kBaselineZstdLevel);
/// One LZ4 block (fast mode) of at most LZ4_MAX_INPUT_SIZE bytes, in place of what `out` holds.
void lz4_encode(std::span<const std::byte> block, std::vector<std::byte>& out);
/// False when it does not decode to exactly out.size() bytes.
[[nodiscard]] bool lz4_decode(std::span<const std::byte> coded, std::span<std::byte> out);
/// Bytes of one LZ4 block (fast mode) of `block`, at most LZ4_MAX_INPUT_SIZE bytes.
std::size_t lz4_size(std::span<const std::byte> block);

/// Huffman codes alone: zstd's literals, in frames without a single match.
class HuffmanCoder {
 public:
  HuffmanCoder();
  ~HuffmanCoder();
  /// The frame, valid until the next call. Throws kMemory.
  std::span<const std::byte> encode(std::span<const std::byte> bytes);
  /// False when it does not decode to exactly out.size() bytes.
  [[nodiscard]] bool decode(std::span<const std::byte> frame, std::span<std::byte> out);

 private:
  std::unique_ptr<ZSTD_CCtx_s, FreeZstd> compressor_;
  std::unique_ptr<ZSTD_DCtx_s, FreeZstd> decompressor_;
  std::vector<std::byte> out_;
};

}  // namespace qi
