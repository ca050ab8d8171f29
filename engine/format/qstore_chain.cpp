#include "engine/format/qstore_chain.h"

#include <cstring>

#include "engine/io/error.h"

namespace qi {
namespace {

ChainNumbers numbers_of(const QstoreChain& chain) {
  if (chain.own) return {ChainKind::kCodes, 1U << chain.own->bits};
  return {chain.is_f16 ? ChainKind::kF16 : ChainKind::kBF16, 0};
}

// The first column from `col` on whose groups are others.
std::size_t run_end(std::size_t col, std::size_t end, const std::vector<std::uint32_t>& groups) {
  std::size_t next = col + 1;
  while (next < end && groups[next] == groups[col]) ++next;
  return next;
}

}  // namespace

void ChainBlocks::predict(const QstoreChain& chain, const ChainBytes& given, std::uint64_t bytes) {
  if (chain.own) {
    tile_ = tile_at(*chain.own, given.offset, bytes);
  } else {
    const std::uint64_t row_bytes = 2 * chain.low.cols;
    tile_ = {given.offset / row_bytes, bytes / row_bytes, 0, chain.low.cols};
  }
  const auto count = static_cast<std::size_t>(tile_.count());
  codes_.resize(count);
  center_.resize(count);
  step_.resize(count);
  unpack_tile(chain.low, given.low.codes, tile_, codes_.data());
  load_numbers(chain.low, given.low, tile_.row, tile_.rows, low_);
  load_groups(chain.low, given.low.index, low_group_);
  if (chain.own) {
    load_numbers(*chain.own, given.own, tile_.row, tile_.rows, own_);
    load_groups(*chain.own, given.own.index, own_group_);
  }
  const auto end = static_cast<std::size_t>(tile_.col + tile_.cols);
  std::size_t i = 0;
  for (std::size_t r = 0; r < tile_.rows; ++r) {
    for (auto col = static_cast<std::size_t>(tile_.col); col < end;) {
      std::size_t next = run_end(col, end, low_group_);
      const std::size_t low = r * low_.groups + low_group_[col];
      const float scale = low_.scales[low];
      const float zero = low_.zeros[low];
      if (!chain.own) {
        for (; col < next; ++col, ++i) {
          center_[i] = (static_cast<float>(codes_[i]) - zero) * scale;
          step_[i] = scale;
        }
        continue;
      }
      next = run_end(col, next, own_group_);
      const std::size_t own = r * own_.groups + own_group_[col];
      const float own_scale = own_.scales[own];
      const float own_zero = own_.zeros[own];
      const float step = scale / own_scale;
      for (; col < next; ++col, ++i) {
        center_[i] = (static_cast<float>(codes_[i]) - zero) * scale / own_scale + own_zero;
        step_[i] = step;
      }
    }
  }
}

void ChainBlocks::take_numbers(const QstoreChain& chain, std::span<const std::byte> bytes) {
  numbers_.resize(static_cast<std::size_t>(tile_.count()));
  if (!chain.own) {
    if (!bytes.empty()) std::memcpy(numbers_.data(), bytes.data(), bytes.size());
    return;
  }
  const QstoreGrid part = grid_of_tile(*chain.own, tile_);
  unpack_tile(part, bytes, {0, part.rows, 0, part.cols}, codes_.data());
  numbers_.assign(codes_.begin(), codes_.end());
}

std::span<const std::byte> ChainBlocks::encode(const QstoreChain& chain, const ChainBytes& given,
                                               std::span<const std::byte> bytes) {
  predict(chain, given, bytes.size());
  take_numbers(chain, bytes);
  if (encoder_ == nullptr) encoder_ = std::make_unique<ChainEncoder>();
  const auto coded = encoder_->encode(numbers_of(chain), known(), numbers_.data());
  return coded.size() < bytes.size() ? coded : bytes;
}

double ChainBlocks::ideal_bits(const QstoreChain& chain, const ChainBytes& given,
                               std::span<const std::byte> bytes) {
  encode(chain, given, bytes);
  return encoder_->ideal_bits();
}

void ChainBlocks::decode(const QstoreChain& chain, const ChainBytes& given,
                         std::span<const std::byte> stored, std::span<std::byte> out) {
  if (stored.size() == out.size()) {
    if (!out.empty()) std::memcpy(out.data(), stored.data(), out.size());
    return;
  }
  predict(chain, given, out.size());
  if (decoder_ == nullptr) decoder_ = std::make_unique<ChainDecoder>();
  numbers_.resize(static_cast<std::size_t>(tile_.count()));
  decoder_->decode(numbers_of(chain), known(), stored, numbers_.data());
  if (!chain.own) {
    std::memcpy(out.data(), numbers_.data(), out.size());
    return;
  }
  for (std::size_t i = 0; i < numbers_.size(); ++i) {
    codes_[i] = static_cast<std::uint8_t>(numbers_[i]);
  }
  pack_grid(grid_of_tile(*chain.own, tile_), codes_.data(), out);
}

}  // namespace qi
