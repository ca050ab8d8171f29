#include "engine/format/gguf_layout.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "engine/io/checked.h"

namespace qi {
namespace {

constexpr std::uint32_t kZfpId = 38;
constexpr std::uint64_t kZfpFileType = 38;
constexpr std::uint32_t kQ2Id = 42;

class Layout {
 public:
  Layout(const GgufHeader& header, std::vector<Warning>& warnings)
      : header_(header),
        path_(header.file->path()),
        warnings_(warnings),
        unknown_(path_, warnings),
        removed_(path_, warnings) {}

  std::vector<Tensor> run(std::uint32_t file_index) {
    spans();
    zfp_fork_ = is_zfp_fork();
    q2_fork_ = is_q2_fork();
    std::vector<Tensor> placed(header_.tensors.size());
    for (std::size_t i = 0; i < placed.size(); ++i) {
      placed[i].file = file_index;
      size(header_.tensors[i], spans_[i], placed[i]);
    }
    for (std::size_t i = 0; i < placed.size(); ++i) position(header_.tensors[i], placed[i]);
    unknown_.flush();
    removed_.flush();
    neighbours(placed);
    return placed;
  }

 private:
  [[noreturn]] void fail(ErrorCode code, std::uint64_t at, std::string message,
                         std::string expected) const {
    throw Error(code, std::move(message), std::move(expected), path_, at);
  }

  std::uint64_t data_size() const {
    const std::uint64_t size = header_.file->size();
    return size > header_.data_begin ? size - header_.data_begin : 0;
  }

  // Bytes from each tensor's start to the next start of a tensor that holds anything, or to the
  // end of the file; also the order by offset.
  void spans() {
    const auto& tensors = header_.tensors;
    order_.resize(tensors.size());
    std::iota(order_.begin(), order_.end(), 0U);
    const auto earlier = [&](std::uint32_t a, std::uint32_t b) {
      return tensors[a].offset < tensors[b].offset;
    };
    if (!std::is_sorted(order_.begin(), order_.end(), earlier)) {
      std::stable_sort(order_.begin(), order_.end(), earlier);
    }
    spans_.assign(tensors.size(), Span{});
    std::uint64_t next = data_size();
    bool last = true;
    for (std::size_t end = order_.size(); end > 0;) {
      std::size_t begin = end;
      const std::uint64_t offset = tensors[order_[end - 1]].offset;
      bool holds = false;
      for (; begin > 0 && tensors[order_[begin - 1]].offset == offset; --begin) {
        const std::uint32_t index = order_[begin - 1];
        spans_[index] = {next > offset ? next - offset : 0, last};
        holds |= tensors[index].elements > 0;
      }
      if (holds) {
        next = offset;
        last = false;
      }
      end = begin;
    }
  }

  struct Span {
    std::uint64_t bytes = 0;
    bool last = false;
  };

  std::uint64_t padded(std::uint64_t bytes) const {
    const std::uint64_t mask = header_.alignment - 1;
    return bytes > std::numeric_limits<std::uint64_t>::max() - mask ? bytes
                                                                    : (bytes + mask) & ~mask;
  }

  // Whether every tensor of `id` fills its span exactly with blocks of this size, padding aside.
  // Nothing when the file has no tensor of that id.
  std::optional<bool> all_fit(std::uint32_t id, std::uint64_t block, std::uint64_t bytes) const {
    std::optional<bool> fit;
    for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
      const GgufTensor& tensor = header_.tensors[i];
      if (tensor.type != id || tensor.elements == 0) continue;
      fit = true;
      const auto size = checked_mul(tensor.elements / block, bytes);
      if (row(tensor) % block != 0 || !size) return false;
      // The last tensor may lack padding, or have other bytes behind it.
      const bool fills =
          spans_[i].last ? spans_[i].bytes >= *size && spans_[i].bytes - *size < header_.alignment
                         : padded(*size) == spans_[i].bytes;
      if (!fills) return false;
    }
    return fit;
  }

  bool is_zfp_fork() const {
    return header_.metadata.unsigned_number("general.file_type") == kZfpFileType &&
           all_fit(kZfpId, 32, 18) == false;
  }

  bool is_q2_fork() const {
    return all_fit(kQ2Id, 64, 18) == false && all_fit(kQ2Id, 128, 34) == true;
  }

  static std::uint64_t row(const GgufTensor& tensor) {
    return tensor.n_dims == 0 ? 1 : tensor.dims[0];
  }

  void size(const GgufTensor& from, const Span& span, Tensor& to) {
    to.shape.assign(std::make_reverse_iterator(from.dims.begin() + from.n_dims),
                    std::make_reverse_iterator(from.dims.begin()));
    const std::optional<DType> known = dtype_from_ggml(from.type);
    to.dtype = known.value_or(DType::kUnknown);
    if (from.type == kZfpId && zfp_fork_) to.dtype = DType::kZfpFork;
    if (from.type == kQ2Id && q2_fork_) to.dtype = DType::kUnknown;
    const DTypeInfo& type = info(to.dtype);
    if (type.block_bytes == 0) {
      undecodable(from, span, to);
      return;
    }
    if (row(from) % type.block_elements != 0) {
      fail(ErrorCode::kBadShape, from.n_dims == 0 ? from.dims_at() - 4 : from.dims_at(),
           fmt::format("tensor '{}' of type {} has rows of {}", from.name, type.name, row(from)),
           fmt::format("a multiple of {}", type.block_elements));
    }
    const auto bytes = stored_bytes(to.dtype, from.elements);
    if (!bytes) {
      fail(ErrorCode::kOverflow, from.dims_at(),
           fmt::format("tensor '{}' has {} elements of type {}", from.name, from.elements,
                       type.name),
           "a size that fits 64 bits");
    }
    to.size_bytes = *bytes;
    interleaved(from, to.dtype);
  }

  void undecodable(const GgufTensor& from, const Span& span, Tensor& to) {
    to.size_bytes = from.elements == 0 ? 0 : span.bytes;
    if (to.dtype == DType::kUnknown) to.dtype_text = fmt::format("type {}", from.type);
    if (!unknown_.first()) return;
    if (to.dtype == DType::kZfpFork) {
      unknown_.set_text(fmt::format("tensor '{}' has type id {}, a fork's ZFP: values not readable",
                                    from.name, from.type));
    } else if (to.dtype != DType::kUnknown) {
      unknown_.set_text(
          fmt::format("tensor '{}' has type id {}, {}, removed in 2023: values not "
                      "readable",
                      from.name, from.type, info(to.dtype).name));
    } else if (q2_fork_ && from.type == kQ2Id) {
      unknown_.set_text(
          fmt::format("tensor '{}' has type id {} with 34 bytes per 128 values, a "
                      "fork's: values not readable",
                      from.name, from.type));
    } else {
      unknown_.set_text(
          fmt::format("tensor '{}' has unknown type id {}: size taken from the span "
                      "to the next tensor, values not readable",
                      from.name, from.type));
    }
  }

  void interleaved(const GgufTensor& from, DType dtype) {
    switch (dtype) {
      case DType::kQ4_0_4_4:
      case DType::kQ4_0_4_8:
      case DType::kQ4_0_8_8:
      case DType::kIQ4NL_4_4:
      case DType::kIQ4NL_4_8:
      case DType::kIQ4NL_8_8:
        if (removed_.first()) {
          removed_.set_text(fmt::format("tensor '{}' has type {}, removed from files in 2024",
                                        from.name, info(dtype).name));
        }
        break;
      default:
        break;
    }
  }

  void position(const GgufTensor& from, Tensor& to) {
    const std::uint64_t available = data_size();
    const auto end = checked_add(from.offset, to.size_bytes);
    const auto absolute = checked_add(from.offset, header_.data_begin);
    if (!end || !absolute) {
      fail(ErrorCode::kBadOffset, from.offset_at(),
           fmt::format("tensor '{}' has offset {}", from.name, from.offset),
           fmt::format("an offset inside the {} bytes of data", available));
    }
    const bool beyond = *end > available || (from.offset > 0 && from.offset > available);
    if (beyond && from.offset > declared_bytes()) {
      fail(ErrorCode::kBadOffset, from.offset_at(),
           fmt::format("tensor '{}' has offset {} in {} bytes of data", from.name, from.offset,
                       available),
           "an offset inside the data");
    }
    if (from.offset % header_.alignment != 0) {
      fail(ErrorCode::kBadAlignment, from.offset_at(),
           fmt::format("tensor '{}' has offset {}", from.name, from.offset),
           fmt::format("a multiple of {}", header_.alignment));
    }
    if (beyond) {
      fail(ErrorCode::kTruncated, from.offset_at(),
           fmt::format("tensor '{}' ends at byte {}, the file has {}", from.name,
                       static_cast<__uint128_t>(*end) + header_.data_begin > UINT64_MAX
                           ? UINT64_MAX
                           : *end + header_.data_begin,
                       header_.file->size()),
           "a whole file; the download or copy may have stopped");
    }
    to.offset = *absolute;
  }

  // What the data section would need for all known types: an offset up to there belongs to a cut
  // file, one beyond it is wrong in itself.
  std::uint64_t declared_bytes() {
    if (!declared_) {
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < header_.tensors.size(); ++i) {
        const GgufTensor& tensor = header_.tensors[i];
        const auto type = dtype_from_ggml(tensor.type);
        const std::uint64_t bytes =
            padded(stored_bytes(type.value_or(DType::kUnknown), tensor.elements).value_or(0));
        sum = checked_add(sum, bytes).value_or(std::numeric_limits<std::uint64_t>::max());
      }
      declared_ = sum;
    }
    return *declared_;
  }

  void neighbours(const std::vector<Tensor>& placed) {
    WarningTally gaps(path_, warnings_);
    bool in_order = true;
    std::uint64_t end = header_.data_begin;
    std::optional<std::uint32_t> before;  // the tensor that ends at `end`
    for (std::size_t i = 0; i < order_.size(); ++i) {
      const std::uint32_t index = order_[i];
      const Tensor& tensor = placed[index];
      in_order &= i == 0 || order_[i - 1] < index;
      if (tensor.size_bytes == 0) continue;
      if (tensor.offset < end) {
        fail(ErrorCode::kOverlap, header_.tensors[index].offset_at(),
             fmt::format("tensor '{}' starts at byte {} inside '{}'", header_.tensors[index].name,
                         tensor.offset, header_.tensors[*before].name),
             fmt::format("byte {} or later", end));
      }
      const std::uint64_t expected = header_.data_begin + padded(end - header_.data_begin);
      if (tensor.offset > expected && gaps.first()) {
        gaps.set_text(fmt::format("{} bytes before tensor '{}' belong to no tensor",
                                  tensor.offset - expected, header_.tensors[index].name));
      }
      end = tensor.offset + tensor.size_bytes;
      before = index;
    }
    gaps.flush();
    if (!in_order) warnings_.push_back({path_, "tensors are not stored in the order of the list"});
    if (before) tail(end);
  }

  void tail(std::uint64_t end) {
    const std::uint64_t expected = header_.data_begin + padded(end - header_.data_begin);
    const std::uint64_t size = header_.file->size();
    if (size < expected) {
      warnings_.push_back({path_, fmt::format("padding after the last tensor is missing: {} bytes "
                                              "of {}",
                                              size - end, expected - end)});
    } else if (size > expected) {
      warnings_.push_back({path_, fmt::format("{} bytes after the last tensor", size - expected)});
    }
  }

  const GgufHeader& header_;
  const std::string& path_;
  std::vector<Warning>& warnings_;
  WarningTally unknown_, removed_;
  std::vector<std::uint32_t> order_;  // by offset
  std::vector<Span> spans_;
  std::optional<std::uint64_t> declared_;
  bool zfp_fork_ = false;
  bool q2_fork_ = false;
};

}  // namespace

std::vector<Tensor> place_gguf_tensors(GgufHeader& header, std::uint32_t file_index,
                                       std::vector<Warning>& warnings) {
  std::vector<Tensor> placed = Layout(header, warnings).run(file_index);
  for (std::size_t i = 0; i < placed.size(); ++i) {
    placed[i].name = std::move(header.tensors[i].name);
  }
  return placed;
}

}  // namespace qi
