#include "engine/codec/baselines.h"

#include <cassert>
#include <memory>
#include <vector>

#include <lz4.h>
#include <zstd.h>

#include "engine/io/error.h"

namespace qi {

std::size_t zstd_size(std::span<const std::byte> block, int level) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  if (context == nullptr) throw Error(ErrorCode::kMemory, "no memory for the zstd compressor");
  std::vector<std::byte> out(ZSTD_compressBound(block.size()));
  const std::size_t size =
      ZSTD_compressCCtx(context.get(), out.data(), out.size(), block.data(), block.size(), level);
  // With a buffer of the bound's size, memory is all that can be lacking.
  if (ZSTD_isError(size)) {
    throw Error(ErrorCode::kMemory, std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return size;
}

std::size_t lz4_size(std::span<const std::byte> block) {
  assert(block.size() <= LZ4_MAX_INPUT_SIZE);
  const int bound = LZ4_compressBound(static_cast<int>(block.size()));
  std::vector<char> out(static_cast<std::size_t>(bound));
  const int size = LZ4_compress_default(reinterpret_cast<const char*>(block.data()), out.data(),
                                        static_cast<int>(block.size()), bound);
  assert(size > 0 || block.empty());
  return static_cast<std::size_t>(size);
}

}  // namespace qi
