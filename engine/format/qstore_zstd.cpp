#include "engine/format/qstore_zstd.h"

#include <zstd.h>

#include "engine/io/error.h"

namespace qi {

void ZstdPacker::Free::operator()(ZSTD_CCtx_s* context) const {
  ZSTD_freeCCtx(context);
}
void ZstdUnpacker::Free::operator()(ZSTD_DCtx_s* context) const {
  ZSTD_freeDCtx(context);
}

ZstdPacker::ZstdPacker() : context_(ZSTD_createCCtx()) {
  if (context_ == nullptr) throw Error(ErrorCode::kMemory, "no memory for a compressor");
}

std::span<const std::byte> ZstdPacker::pack(std::span<const std::byte> bytes, int level) {
  const std::size_t bound = ZSTD_compressBound(bytes.size());
  if (out_.size() < bound) out_.resize(bound);
  const std::size_t size = ZSTD_compressCCtx(context_.get(), out_.data(), out_.size(), bytes.data(),
                                             bytes.size(), level);
  if (ZSTD_isError(size) != 0) {
    throw Error(ErrorCode::kMemory, std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return {out_.data(), size};
}

ZstdUnpacker::ZstdUnpacker() : context_(ZSTD_createDCtx()) {
  if (context_ == nullptr) throw Error(ErrorCode::kMemory, "no memory for a decompressor");
}

bool ZstdUnpacker::unpack(std::span<const std::byte> frame, std::span<std::byte> out) {
  // A frame that says another size, or nothing, is not one of ours.
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != out.size()) return false;
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) return false;
  const std::size_t size =
      ZSTD_decompressDCtx(context_.get(), out.data(), out.size(), frame.data(), frame.size());
  return ZSTD_isError(size) == 0 && size == out.size();
}

}  // namespace qi
