#include "engine/format/prototype.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/format/prototype_segment.h"
#include "engine/io/checked.h"
#include "engine/tensor/roles.h"
#include "engine/text/utf8.h"

namespace qi {
namespace {

constexpr std::string_view kHeaderLine = "tensor_name\tfile_type\toffset\tsize";
constexpr std::uint64_t kIndexLimit = 100'000'000;
constexpr std::uint64_t kWalkOnOpenLimit = 64ull << 20;
constexpr std::uint32_t kQuantFile = 0;
constexpr std::uint32_t kOrigFile = 1;

std::uint64_t parse_decimal(std::string_view text, const char* what, const std::string& path,
                            std::uint64_t at) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range && next == end) {
    throw Error(ErrorCode::kOverflow, fmt::format("{} {}", what, text), "below 2^64", path, at);
  }
  if (error != std::errc{} || next != end) {
    throw Error(ErrorCode::kBadSchema, fmt::format("{} \"{}\"", what, text),
                "a plain decimal number", path, at);
  }
  return value;
}

struct TensorRows {
  const PrototypeRow* quant = nullptr;
  const PrototypeRow* orig = nullptr;
};

/// Each segment inside its file, none sharing bytes; warns of bytes that no segment covers.
void check_places(const std::vector<PrototypeRow>& rows, bool quant, const File& file,
                  const std::string& index_path, std::vector<Warning>& warnings) {
  std::vector<const PrototypeRow*> sorted;
  for (const PrototypeRow& row : rows) {
    if (row.quant != quant) continue;
    const auto end = checked_add(row.segment_offset, row.segment_bytes);
    if (!end) {
      throw Error(ErrorCode::kOverflow,
                  fmt::format("segment at {} of {} bytes", row.segment_offset, row.segment_bytes),
                  "an end below 2^64", index_path, row.row_offset);
    }
    if (*end > file.size()) {
      throw Error(ErrorCode::kTruncated,
                  fmt::format("segment at {} of {} bytes", row.segment_offset, row.segment_bytes),
                  fmt::format("within the {} bytes of {}", file.size(), file.path()), index_path,
                  row.row_offset);
    }
    sorted.push_back(&row);
  }
  std::sort(sorted.begin(), sorted.end(), [](const PrototypeRow* a, const PrototypeRow* b) {
    return std::pair(a->segment_offset, a->segment_bytes) <
           std::pair(b->segment_offset, b->segment_bytes);
  });
  std::uint64_t covered = 0;
  std::uint64_t unused = 0;
  for (const PrototypeRow* row : sorted) {
    if (row->segment_offset < covered) {
      throw Error(ErrorCode::kOverlap,
                  fmt::format("segment at {} begins inside the one before", row->segment_offset),
                  fmt::format("{} or more", covered), index_path, row->row_offset);
    }
    unused += row->segment_offset - covered;
    covered = row->segment_offset + row->segment_bytes;
  }
  unused += file.size() - covered;
  if (unused != 0) {
    warnings.push_back({file.path(), fmt::format("{} bytes belong to no segment", unused)});
  }
}

std::string read_text(const File& file) {
  if (file.size() > kIndexLimit) {
    throw Error(ErrorCode::kLimit, fmt::format("index of {} bytes", file.size()),
                fmt::format("at most {}", kIndexLimit), file.path());
  }
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

std::optional<DType> dtype_of_name(const std::string& name) {
  if (name.ends_with("-bf16-int8")) return DType::kBF16;
  if (name.ends_with("-fp16-int8")) return DType::kF16;
  return std::nullopt;
}

/// The folder's own name, also of "." and "x/".
std::string folder_name(const std::string& dir) {
  std::error_code ignored;
  const std::filesystem::path path = std::filesystem::absolute(dir, ignored).lexically_normal();
  return path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
}

/// Where a link leads to may tell more than the link's name.
std::string real_folder_name(const std::string& dir) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(dir, error);
  return error ? std::string() : path.filename().string();
}

class Opener {
 public:
  Opener(const std::string& dir, std::optional<DType> dtype) : dir_(dir), dtype_(dtype) {}

  Model open() {
    model_.path = dir_;
    model_.name = folder_name(dir_);
    model_.container = Container::kPrototype;
    model_.config = std::make_shared<nlohmann::json>(nlohmann::json::object());
    model_.notes.push_back(
        "a partial model without checksums: int8 matrices and their 16-bit values only");
    const auto index = File::open(dir_ + "/tensor_index.tsv", ErrorCode::kMissing);
    index_path_ = index->path();
    const std::vector<PrototypeRow> rows = parse_prototype_index(read_text(*index), index_path_);
    open_files(rows);
    settle_dtype();
    std::map<std::string_view, TensorRows, NameLess> tensors;
    for (const PrototypeRow& row : rows) {
      TensorRows& both = tensors[row.name];
      (row.quant ? both.quant : both.orig) = &row;
    }
    for (const auto& [name, both] : tensors) add(name, both);
    return std::move(model_);
  }

 private:
  void open_files(const std::vector<PrototypeRow>& rows) {
    model_.files.push_back(File::open(dir_ + "/all_quantized.bin", ErrorCode::kMissing));
    check_places(rows, true, *model_.files[kQuantFile], index_path_, model_.warnings);
    const bool any_orig =
        std::any_of(rows.begin(), rows.end(), [](const PrototypeRow& row) { return !row.quant; });
    std::error_code error;
    if (!any_orig && !std::filesystem::exists(dir_ + "/all_original.bin", error)) return;
    model_.files.push_back(File::open(dir_ + "/all_original.bin", ErrorCode::kMissing));
    check_places(rows, false, *model_.files[kOrigFile], index_path_, model_.warnings);
  }

  void settle_dtype() {
    std::optional<DType> told = dtype_of_name(model_.name);
    if (!told) told = dtype_of_name(real_folder_name(dir_));
    if (dtype_ && told && *dtype_ != *told) {
      model_.warnings.push_back({dir_, fmt::format("the folder's name says {}, read as {}",
                                                   info(*told).name, info(*dtype_).name)});
    }
    if (!dtype_) dtype_ = told;
    if (!dtype_) {
      model_.warnings.push_back(
          {dir_,
           "BF16 or F16 is known from the folder's name only, which does not tell: give "
           "--dtype bf16 or --dtype f16 to read values"});
    }
  }

  void add(std::string_view name, const TensorRows& rows) {
    if (rows.quant == nullptr) {
      throw Error(ErrorCode::kMissing, fmt::format("{} has a row orig, none quant", name),
                  "both, the values are stored given the int8 ones", index_path_,
                  rows.orig->row_offset);
    }
    const SegmentPlace quant_place = place(*rows.quant, kQuantFile);
    const QuantSegment quant = parse_quant_segment(quant_place);
    Weight weight;
    weight.name = name;
    weight.shape = quant.shape;
    weight.params = quant.elements;
    weight.format = "unchecked";  // the format has no checksums
    weight.scheme = Scheme::kQstore;
    weight.bits = 8;
    weight.symmetric = true;
    weight.zero_point = ZeroPoint::kNone;
    const NameFacts facts = name_facts(name);
    weight.role = facts.role;
    weight.layer = facts.layer;
    weight.expert = facts.expert;
    if (rows.orig != nullptr) {
      const SegmentPlace orig_place = place(*rows.orig, kOrigFile);
      const OrigSegment orig = parse_orig_segment(orig_place, quant);
      if (orig_place.file->size() <= kWalkOnOpenLimit) {
        Stream stream;
        for (StreamWalk walk(orig_place, orig, quant.elements); walk.next(stream);) continue;
      }
      Tensor tensor = stored(name, "orig", *rows.orig, kOrigFile, quant.shape);
      tensor.dtype = dtype_.value_or(DType::kUnknown);
      if (!dtype_) tensor.dtype_text = "BF16|F16";
      add_part(weight, std::move(tensor), PartRole::kCodes);
    } else {
      model_.warnings.push_back(
          {index_path_, fmt::format("{} has no row orig: int8 codes alone", name)});
      weight.undecodable = "the int8 codes alone, their row scales are not stored";
    }
    Tensor tensor = stored(name, "quant", *rows.quant, kQuantFile, quant.shape);
    tensor.dtype = DType::kI8;
    add_part(weight, std::move(tensor),
             rows.orig != nullptr ? PartRole::kLowLevel : PartRole::kCodes);
    model_.weights.push_back(std::move(weight));
  }

  SegmentPlace place(const PrototypeRow& row, std::uint32_t file) const {
    return {model_.files[file], row.segment_offset, row.segment_bytes};
  }

  static Tensor stored(std::string_view name, std::string_view level, const PrototypeRow& row,
                       std::uint32_t file, const Shape& shape) {
    Tensor tensor;
    tensor.name = fmt::format("{}.{}", name, level);
    tensor.shape = shape;
    tensor.offset = row.segment_offset;
    tensor.size_bytes = row.segment_bytes;
    tensor.file = file;
    return tensor;
  }

  void add_part(Weight& weight, Tensor tensor, PartRole role) {
    weight.size_bytes += tensor.size_bytes;
    weight.parts.push_back({static_cast<std::uint32_t>(model_.tensors.size()), role});
    model_.tensors.push_back(std::move(tensor));
  }

  std::string dir_;
  std::optional<DType> dtype_;
  std::string index_path_;
  Model model_;
};

}  // namespace

std::vector<PrototypeRow> parse_prototype_index(std::string_view text, const std::string& path) {
  if (text.empty()) {
    throw Error(ErrorCode::kTruncated, "empty file", "a header line", path, 0);
  }
  const std::size_t header_end = std::min(text.find('\n'), text.size());
  if (text.substr(0, header_end) != kHeaderLine) {
    throw Error(ErrorCode::kBadHeader, "another header line",
                "tensor_name, file_type, offset, size, separated by tabs", path, 0);
  }
  std::vector<PrototypeRow> rows;
  std::array<std::unordered_map<std::string_view, std::uint64_t>, 2> seen;
  for (std::size_t at = header_end + 1; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    std::array<std::string_view, 4> columns;
    std::size_t count = 0;
    for (std::size_t begin = 0; begin <= line.size(); ++count) {
      const std::size_t tab = std::min(line.find('\t', begin), line.size());
      if (count < columns.size()) columns[count] = line.substr(begin, tab - begin);
      begin = tab + 1;
    }
    if (count != columns.size()) {
      throw Error(ErrorCode::kBadSchema, fmt::format("{} columns", count), "4", path, at);
    }
    const std::string_view name = columns[0];
    if (name.empty()) throw Error(ErrorCode::kBadSchema, "empty name", "a tensor's name", path, at);
    if (!is_utf8(name)) {
      throw Error(ErrorCode::kBadEncoding, "name is not UTF-8", "UTF-8", path, at);
    }
    if (columns[1] != "quant" && columns[1] != "orig") {
      throw Error(ErrorCode::kBadSchema, fmt::format("file_type \"{}\"", columns[1]),
                  "quant or orig", path, at);
    }
    const bool quant = columns[1] == "quant";
    const std::uint64_t offset = parse_decimal(columns[2], "offset", path, at);
    const std::uint64_t size = parse_decimal(columns[3], "size", path, at);
    const auto [first, fresh] = seen[quant ? 0 : 1].emplace(name, at);
    if (!fresh) {
      throw Error(ErrorCode::kDuplicate, fmt::format("{} {} again", name, columns[1]),
                  fmt::format("one row, which is at byte {}", first->second), path, at);
    }
    rows.push_back({std::string(name), quant, offset, size, at});
    at = end + 1;
  }
  return rows;
}

Model open_prototype(const std::string& dir, std::optional<DType> dtype) {
  return Opener(dir, dtype).open();
}

}  // namespace qi
