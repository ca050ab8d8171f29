// Frames without matches are asked for by sequences, which zstd counts as experimental.
#define ZSTD_STATIC_LINKING_ONLY
#include "engine/codec/baselines.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <vector>

#include <lz4.h>
#include <zstd.h>

#include "engine/io/error.h"

namespace qi {

namespace {

// With a buffer of the bound's size, memory is all that can be lacking.
std::size_t checked_size(std::size_t size) {
  if (ZSTD_isError(size)) {
    throw Error(ErrorCode::kMemory, std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return size;
}

}  // namespace

void FreeZstd::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}
void FreeZstd::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

ZstdCoder::ZstdCoder(int level)
    : level_(level), compressor_(ZSTD_createCCtx()), decompressor_(ZSTD_createDCtx()) {
  if (compressor_ == nullptr || decompressor_ == nullptr) {
    throw Error(ErrorCode::kMemory, "no memory for the zstd compressor");
  }
}
ZstdCoder::~ZstdCoder() = default;

std::span<const std::byte> ZstdCoder::encode(std::span<const std::byte> block) {
  out_.resize(std::max(out_.size(), ZSTD_compressBound(block.size())));
  const std::size_t size = checked_size(ZSTD_compressCCtx(
      compressor_.get(), out_.data(), out_.size(), block.data(), block.size(), level_));
  return std::span<const std::byte>(out_).first(size);
}

bool ZstdCoder::decode(std::span<const std::byte> frame, std::span<std::byte> out) {
  return ZSTD_decompressDCtx(decompressor_.get(), out.data(), out.size(), frame.data(),
                             frame.size()) == out.size();
}

std::size_t zstd_size(std::span<const std::byte> block, int level) {
  return ZstdCoder(level).encode(block).size();
}

void lz4_encode(std::span<const std::byte> block, std::vector<std::byte>& out) {
  assert(block.size() <= LZ4_MAX_INPUT_SIZE);
  const int bound = LZ4_compressBound(static_cast<int>(block.size()));
  out.resize(static_cast<std::size_t>(bound));
  const int size = LZ4_compress_default(reinterpret_cast<const char*>(block.data()),
                                        reinterpret_cast<char*>(out.data()),
                                        static_cast<int>(block.size()), bound);
  assert(size > 0 || block.empty());
  out.resize(static_cast<std::size_t>(size));
}

bool lz4_decode(std::span<const std::byte> coded, std::span<std::byte> out) {
  if (coded.size() > LZ4_MAX_INPUT_SIZE || out.size() > LZ4_MAX_INPUT_SIZE) return false;
  return LZ4_decompress_safe(reinterpret_cast<const char*>(coded.data()),
                             reinterpret_cast<char*>(out.data()), static_cast<int>(coded.size()),
                             static_cast<int>(out.size())) == static_cast<int>(out.size());
}

std::size_t lz4_size(std::span<const std::byte> block) {
  std::vector<std::byte> out;
  lz4_encode(block, out);
  return out.size();
}

HuffmanCoder::HuffmanCoder() : compressor_(ZSTD_createCCtx()), decompressor_(ZSTD_createDCtx()) {
  if (compressor_ == nullptr || decompressor_ == nullptr) {
    throw Error(ErrorCode::kMemory, "no memory for the zstd compressor");
  }
  const auto set = [this](ZSTD_cParameter parameter, int value) {
    ZSTD_CCtx_setParameter(compressor_.get(), parameter, value);
  };
  set(ZSTD_c_blockDelimiters, ZSTD_sf_explicitBlockDelimiters);
  // Nobody looks for matches: the smallest tables that a whole block goes with.
  set(ZSTD_c_compressionLevel, 1);
  set(ZSTD_c_strategy, ZSTD_fast);
  set(ZSTD_c_windowLog, 17);
  set(ZSTD_c_hashLog, 6);
  set(ZSTD_c_chainLog, 6);
}
HuffmanCoder::~HuffmanCoder() = default;

std::span<const std::byte> HuffmanCoder::encode(std::span<const std::byte> bytes) {
  std::vector<ZSTD_Sequence> blocks;
  for (std::size_t at = 0; at < bytes.size(); at += ZSTD_BLOCKSIZE_MAX) {
    const std::size_t length = std::min<std::size_t>(ZSTD_BLOCKSIZE_MAX, bytes.size() - at);
    blocks.push_back({0, static_cast<unsigned>(length), 0, 0});
  }
  out_.resize(std::max(out_.size(), ZSTD_compressBound(bytes.size())));
  const std::size_t size = checked_size(
      ZSTD_compressSequences(compressor_.get(), out_.data(), out_.size(), blocks.data(),
                             blocks.size(), bytes.data(), bytes.size()));
  return std::span<const std::byte>(out_).first(size);
}

bool HuffmanCoder::decode(std::span<const std::byte> frame, std::span<std::byte> out) {
  return ZSTD_decompressDCtx(decompressor_.get(), out.data(), out.size(), frame.data(),
                             frame.size()) == out.size();
}

}  // namespace qi
