#include "engine/format/gguf_header.h"

#include <algorithm>
#include <bit>
#include <deque>

#include <fmt/format.h>

#include "engine/format/gguf_values.h"
#include "engine/format/magic.h"
#include "engine/format/name_set.h"
#include "engine/io/checked.h"
#include "engine/io/reader.h"

namespace qi {
namespace {

constexpr std::uint64_t kMaxKey = 65535;
constexpr std::uint64_t kMaxName = std::uint64_t{1} << 30;
constexpr std::size_t kMaxShownName = 63;      // what ggml's own name field holds
constexpr std::uint64_t kSmallestPair = 14;    // key of one byte: 9, type: 4, value: 1
constexpr std::uint64_t kSmallestTensor = 24;  // empty name: 8, n_dims: 4, type: 4, offset: 8
// Far above any model: a count beyond it is a lie, not a cut file. Indices are 32 bits.
constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 31;
// Room made before the first record is seen: a sparse file is long without holding anything.
constexpr std::uint64_t kTrusted = 1 << 17;

bool follows_key_rule(std::string_view key) {
  // Lower snake case with dots; the hyphen is in the names of architectures ("command-r").
  return std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

class HeaderReader {
 public:
  HeaderReader(std::shared_ptr<const File> file, std::vector<Warning>& warnings)
      : in_(file),
        odd_keys_(file->path(), warnings),
        odd_texts_(file->path(), warnings),
        odd_names_(file->path(), warnings),
        long_names_(file->path(), warnings),
        empty_tensors_(file->path(), warnings),
        warnings_(warnings) {
    header_.file = std::move(file);
  }

  GgufHeader run() {
    magic();
    version();
    const std::uint64_t tensors = count("tensors", kSmallestTensor);
    const std::uint64_t pairs = count("key-value pairs", kSmallestPair);
    metadata(pairs);
    records(tensors);
    header_.header_end = in_.position();
    // header_end ≤ file size < 2^63 and alignment ≤ 2^31: no wrap.
    const std::uint64_t mask = header_.alignment - 1;
    header_.data_begin = (header_.header_end + mask) & ~mask;
    for (WarningTally* tally :
         {&odd_keys_, &odd_texts_, &odd_names_, &long_names_, &empty_tensors_}) {
      tally->flush();
    }
    return std::move(header_);
  }

 private:
  void magic() {
    constexpr std::string_view kMagic = "GGUF";
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(4, in_.remaining()));
    const std::span<const std::byte> head = in_.take(size, "the magic");
    const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
    if (text == kMagic) return;
    if (kMagic.starts_with(text)) {
      in_.fail(ErrorCode::kTruncated, 0, fmt::format("file of {} bytes", size),
               "a GGUF header of at least 24 bytes");
    }
    const std::string seen = magic_text(head);
    const std::string_view likely = likely_format(*header_.file);
    in_.fail(ErrorCode::kBadMagic, 0,
             likely.empty() ? fmt::format("magic is {}", seen)
                            : fmt::format("magic is {}, this looks like {}", seen, likely),
             "'GGUF'");
  }

  void version() {
    const std::uint64_t at = in_.position();
    std::uint32_t version = in_.number<std::uint32_t>("the version");
    // Versions are small: low bits empty means the other byte order (GGUF specification, version
    // 3).
    if (version != 0 && (version & 0xFFFF) == 0) {
      header_.big_endian = true;
      in_.set_big_endian(true);
      version = __builtin_bswap32(version);
    }
    if (version != 2 && version != 3) {
      in_.fail(ErrorCode::kBadVersion, at, fmt::format("GGUF version {}", version),
               version == 1 ? "version 2 or 3; version 1 was replaced in 2023" : "version 2 or 3");
    }
    header_.version = version;
  }

  // A count is believed only when the bytes left could hold it.
  std::uint64_t count(std::string_view what, std::uint64_t smallest) {
    const std::uint64_t at = in_.position();
    const auto value = in_.number<std::uint64_t>(what);
    const std::uint64_t fits = in_.remaining() / smallest;
    if (value > fits || value > kMaxCount) {
      in_.fail(
          value > kMaxCount ? ErrorCode::kLimit : ErrorCode::kTruncated, at,
          fmt::format("header declares {} {}", value, what),
          fmt::format("at most {}, {} bytes are left", std::min(fits, kMaxCount), in_.remaining()));
    }
    return value;
  }

  void metadata(std::uint64_t pairs) {
    std::deque<std::string> keys;  // stay where they are while more come
    NameSet seen(std::min(pairs, kTrusted));
    for (std::uint64_t i = 0; i < pairs; ++i) {
      const std::uint64_t at = in_.position();
      keys.emplace_back(read_gguf_string(in_, kMaxKey, "key"));
      const std::string& key = keys.back();
      if (key.empty()) in_.fail(ErrorCode::kBadSchema, at, "empty key", "a name");
      if (!seen.insert(key)) {
        in_.fail(ErrorCode::kDuplicate, at, fmt::format("key '{}' given twice", key),
                 "each key once");
      }
      if (!follows_key_rule(key) && odd_keys_.first()) {
        odd_keys_.set_text(fmt::format("key '{}' is not lower snake case", key));
      }
      const std::uint64_t type_at = in_.position();
      const auto type = in_.number<std::uint32_t>("value type");
      const std::uint64_t value_at = in_.position();
      GgufTextFaults faults;
      MetaEntry entry{key, {}, {}, at};
      entry.value =
          read_gguf_value(in_, header_.file, header_.big_endian, type, type_at, key, faults);
      entry.type = meta_type_name(type);
      if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
        entry.type += fmt::format("[{}]", meta_type_name(array->element_type));
      }
      if (faults.count > 0 && odd_texts_.first()) {
        odd_texts_.set_text(fmt::format(
            "{} in '{}' (byte {}) not UTF-8 or with NUL",
            faults.count == 1 ? std::string("text") : fmt::format("{} texts", faults.count), key,
            faults.first_offset));
      }
      if (key == "general.alignment") set_alignment(type, type_at, value_at, entry.value);
      header_.metadata.add(std::move(entry));
    }
  }

  void set_alignment(std::uint32_t type, std::uint64_t type_at, std::uint64_t value_at,
                     const MetaValue& value) {
    if (type != kGgufU32) {
      in_.fail(ErrorCode::kBadSchema, type_at,
               fmt::format("general.alignment is {}", meta_type_name(type)), "u32");
    }
    const std::uint64_t alignment = std::get<std::uint64_t>(value);
    if (!std::has_single_bit(alignment)) {
      in_.fail(ErrorCode::kBadAlignment, value_at,
               fmt::format("general.alignment is {}", alignment), "a power of two");
    }
    if (alignment < 8) {
      warnings_.push_back(
          {header_.file->path(), fmt::format("general.alignment is {}, below 8", alignment)});
    }
    header_.alignment = static_cast<std::uint32_t>(alignment);
  }

  void records(std::uint64_t tensors) {
    NameSet seen(std::min(tensors, kTrusted));
    for (std::uint64_t i = 0; i < tensors; ++i) {
      GgufTensor& tensor = header_.tensors.emplace_back();
      tensor.record_offset = in_.position();
      tensor.name = read_gguf_string(in_, kMaxName, "tensor name");
      name_checks(tensor.name);
      if (!seen.insert(tensor.name)) {
        in_.fail(ErrorCode::kDuplicate, tensor.record_offset,
                 fmt::format("tensor '{}' given twice", tensor.name), "each tensor once");
      }
      shape(tensor);
      tensor.type = in_.number<std::uint32_t>("tensor type");
      tensor.offset = in_.number<std::uint64_t>("tensor offset");
    }
  }

  void name_checks(const std::string& name) {
    if (name.size() > kMaxShownName && long_names_.first()) {
      long_names_.set_text(
          fmt::format("tensor name of {} bytes, above ggml's {}", name.size(), kMaxShownName));
    }
    if ((name.empty() || !is_clean_text(name)) && odd_names_.first()) {
      odd_names_.set_text(name.empty()
                              ? std::string("tensor without a name")
                              : fmt::format("tensor name '{}' not UTF-8 or with NUL", name));
    }
  }

  void shape(GgufTensor& tensor) {
    const std::uint64_t at = in_.position();
    const auto n_dims = in_.number<std::uint32_t>("number of dimensions");
    if (n_dims > kGgufMaxDims) {
      in_.fail(ErrorCode::kBadShape, at,
               fmt::format("tensor '{}' has {} dimensions", tensor.name, n_dims),
               fmt::format("at most {}", kGgufMaxDims));
    }
    tensor.n_dims = n_dims;
    for (std::uint32_t d = 0; d < n_dims; ++d) {
      const std::uint64_t dim_at = in_.position();
      tensor.dims[d] = in_.number<std::uint64_t>("dimension");
      const auto product = checked_mul(tensor.elements, tensor.dims[d]);
      if (!product) {
        in_.fail(ErrorCode::kOverflow, dim_at,
                 fmt::format("tensor '{}' has {} x {} elements", tensor.name, tensor.elements,
                             tensor.dims[d]),
                 "a number of elements that fits 64 bits");
      }
      tensor.elements = *product;
    }
    if (tensor.elements == 0 && empty_tensors_.first()) {
      empty_tensors_.set_text(fmt::format("tensor '{}' is empty: a dimension is 0", tensor.name));
    }
  }

  Reader in_;
  GgufHeader header_;
  WarningTally odd_keys_, odd_texts_, odd_names_, long_names_, empty_tensors_;
  std::vector<Warning>& warnings_;
};

}  // namespace

void WarningTally::flush() {
  if (count_ == 0) return;
  if (count_ > 1) text_ += fmt::format(" (and {} more like it)", count_ - 1);
  out_.push_back({file_, std::move(text_)});
  count_ = 0;
}

GgufHeader read_gguf_header(std::shared_ptr<const File> file, std::vector<Warning>& warnings) {
  return HeaderReader(std::move(file), warnings).run();
}

}  // namespace qi
