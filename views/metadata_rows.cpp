#include "views/metadata_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/text/numbers.h"

namespace qi {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargeObject = 100;    // members: folded at first
constexpr std::size_t kMostUnfolded = 5000;  // lines that objects open by themselves
constexpr std::uint16_t kDeepObject = 8;
constexpr std::size_t kLongText = 400;          // bytes that one line cannot show: folded
constexpr std::uint64_t kLineBytes = 512;       // of one line of an unfolded text
constexpr std::uint64_t kPreview = 8;           // elements
constexpr std::uint64_t kPreviewBytes = 64;     // of each of them
constexpr std::uint64_t kElementBytes = 65536;  // of an element that has its own line

std::string json_scalar(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view json_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "object";
    case Json::value_t::array:
      return "array";
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_float:
      return "float";
    default:
      return "integer";
  }
}

const std::string* long_text(const MetaRow& row) {
  const std::string* text = std::get_if<std::string>(&row.value);
  if (text == nullptr) {
    const auto* pointer = std::get_if<const std::string*>(&row.value);
    if (pointer != nullptr) text = *pointer;
  }
  if (text == nullptr) {
    const auto* json = std::get_if<const Json*>(&row.value);
    if (json != nullptr && (*json)->is_string()) text = &(*json)->get_ref<const std::string&>();
  }
  if (text == nullptr) return nullptr;
  return text->size() > kLongText || text->find('\n') != std::string::npos ? text : nullptr;
}

/// The end of the line that begins at `begin`: at its line feed, or where it gets too long, there
/// on a boundary of characters.
std::size_t line_end(std::string_view text, std::size_t begin) {
  std::size_t end = std::min(text.find('\n', begin), text.size());
  if (end - begin <= kLineBytes) return end;
  end = begin + kLineBytes;
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++i) --end;
  return end;
}

std::string cut(std::string_view text, std::uint64_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  std::size_t end = static_cast<std::size_t>(max_bytes);
  // Not in the middle of a character.
  for (int i = 0; i < 3 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80; ++i) {
    --end;
  }
  return std::string(text.substr(0, end)) + " ...";
}

/// "[12] 1, 2, 3, ..." and "{2} a: 1, b: 2"; what is inside other arrays is not opened.
std::string json_preview(const Json& value, std::uint64_t max_bytes) {
  std::string out = fmt::format("{}{}{}", value.is_array() ? '[' : '{', grouped(value.size()),
                                value.is_array() ? ']' : '}');
  bool first = true;
  for (auto it = value.begin(); it != value.end(); ++it) {
    out += first ? " " : ", ";
    first = false;
    if (out.size() >= max_bytes) return out + "...";
    if (value.is_object()) out += cut(it.key(), kPreviewBytes) + ": ";
    if (it->is_structured()) {
      out += it->is_array() ? fmt::format("[{}]", it->size()) : fmt::format("{{{}}}", it->size());
    } else {
      out += cut(json_scalar(*it), kPreviewBytes);
    }
  }
  return out;
}

std::string array_preview(const MetaArray& array) {
  std::string out = fmt::format("[{}]", grouped(array.count));
  try {
    ArrayPlace place;
    bool first = true;
    for (const std::string& one : array_elements(array, place, kPreview, kPreviewBytes)) {
      out += (first ? " " : ", ") + one;
      first = false;
    }
    if (array.count > kPreview) out += ", ...";
  } catch (const Error& error) {
    out += " cannot be read: " + error.message;
  }
  return out;
}

}  // namespace

MetadataRows::MetadataRows(std::shared_ptr<const Model> model) : model_(std::move(model)) {
  add_model();
  if (model_->config != nullptr && model_->config->is_object()) {
    for (const auto& [key, value] : model_->config->items()) {
      // Configuration files of their own, merged under their names.
      const bool apart = value.is_object() && (key == "quantize_config" || key == "quant_config" ||
                                               key == "hf_quant_config" || key == "adapter_config");
      if (!apart) {
        add_json(rows_, "config.json", key, value, 0);
        continue;
      }
      for (const auto& [inner, one] : value.items()) add_json(rows_, key, inner, one, 0);
    }
  }
  const std::string_view source = model_->container == Container::kGguf ? "gguf" : "__metadata__";
  for (const MetaEntry& entry : model_->metadata.entries()) {
    MetaRow row;
    row.source = source;
    row.key = entry.key;
    row.type = entry.type;
    if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
      row.value = array;
    } else if (const auto* text = std::get_if<std::string>(&entry.value)) {
      row.value = text;
    } else if (const auto* natural = std::get_if<std::uint64_t>(&entry.value)) {
      row.value = std::to_string(*natural);
    } else if (const auto* integer = std::get_if<std::int64_t>(&entry.value)) {
      row.value = std::to_string(*integer);
    } else if (const auto* flag = std::get_if<bool>(&entry.value)) {
      row.value = std::string(*flag ? "true" : "false");
    } else if (const auto* real = std::get_if<double>(&entry.value)) {
      row.value =
          entry.type == "f32" ? fmt::format("{}", static_cast<float>(*real)) : exact_number(*real);
    }
    rows_.push_back(std::move(row));
  }
  files_at_ = rows_.size();
  for (const auto& file : model_->files) {
    const std::string& path = file->path();
    add("file", path.substr(path.rfind('/') + 1), "bytes",
        fmt::format("{} = {}", grouped(file->size()), human_bytes(file->size())));
  }
  for (const Warning& warning : model_->warnings) {
    add("warning", warning.file.substr(warning.file.rfind('/') + 1), "text", warning.message);
    rows_.back().fault = true;
  }
  for (const std::string& note : model_->notes) add("note", "note", "text", note);
}

void MetadataRows::add(std::string_view source, std::string_view key, std::string_view type,
                       std::string value) {
  MetaRow row;
  row.source = source;
  row.key = key;
  row.type = type;
  row.value = std::move(value);
  rows_.push_back(std::move(row));
}

void MetadataRows::add_model() {
  const Model& m = *model_;
  add("model", "path", "string", m.path);
  add("model", "container", "string",
      fmt::format("{}{}", container_name(m.container), m.big_endian ? ", big-endian" : ""));
  if (m.kind != ModelKind::kModel) add("model", "kind", "string", std::string(kind_name(m.kind)));
  if (!m.architecture.empty()) add("model", "architecture", "string", m.architecture);
  if (m.adapter_rank) add("model", "adapter rank", "integer", std::to_string(*m.adapter_rank));
  if (!m.base_model.empty()) add("model", "base model", "string", m.base_model);
  add("model", "weights", "integer", grouped(m.weights.size()));
  add("model", "tensors", "integer", grouped(m.tensors.size()));
  add("model", "parameters", "integer",
      fmt::format("{} = {}", grouped(m.params()), human_count(m.params())));
  const std::uint64_t bytes = m.size_bytes();
  add("model", "stored", "bytes", fmt::format("{} = {}", grouped(bytes), human_bytes(bytes)));
  add("model", "bits per weight", "float", fmt::format("{:.2f}", m.bits_per_weight()));
  // What it is stored as, most bytes first.
  struct Kind {
    std::string name;
    std::uint64_t tensors = 0, size_bytes = 0;
  };
  std::map<std::string, Kind> kinds;
  for (const Tensor& tensor : m.tensors) {
    Kind& kind = kinds[std::string(dtype_name(tensor))];
    ++kind.tensors;
    kind.size_bytes += tensor.size_bytes;
  }
  std::vector<Kind> sorted;
  for (auto& [name, kind] : kinds) sorted.push_back({name, kind.tensors, kind.size_bytes});
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Kind& a, const Kind& b) { return a.size_bytes > b.size_bytes; });
  for (const Kind& kind : sorted) {
    const double share =
        bytes == 0 ? 0 : 100.0 * static_cast<double>(kind.size_bytes) / static_cast<double>(bytes);
    add("model", "dtype " + kind.name, "bytes",
        fmt::format("{} = {}, {:.1f} %, {} tensor{}", grouped(kind.size_bytes),
                    human_bytes(kind.size_bytes), share, grouped(kind.tensors),
                    kind.tensors == 1 ? "" : "s"));
  }
}

std::size_t MetadataRows::add_tokenizer(std::vector<TokenizerFact> facts) {
  std::vector<MetaRow> rows;
  for (TokenizerFact& fact : facts) {
    MetaRow& row = rows.emplace_back();
    row.source = std::move(fact.source);
    row.key = std::move(fact.key);
    row.type = std::move(fact.type);
    row.value = std::move(fact.value);
    row.fault = fact.fault;
  }
  const std::size_t begin = files_at_;
  rows_.insert(rows_.begin() + static_cast<std::ptrdiff_t>(begin),
               std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
  files_at_ += rows.size();
  return begin;
}

// Objects open by themselves, as far as a person would read on.
void MetadataRows::add_json(std::vector<MetaRow>& out, std::string_view source, std::string key,
                            const Json& value, std::uint16_t depth) {
  const auto dots = std::count(key.begin(), key.end(), '.');
  if (value.is_object() && !value.empty() && value.size() <= kLargeObject && dots < kDeepObject &&
      unfolded_ < kMostUnfolded) {
    for (const auto& [name, one] : value.items()) {
      add_json(out, source, fmt::format("{}.{}", key, name), one, depth);
    }
    return;
  }
  ++unfolded_;
  MetaRow& row = out.emplace_back();
  row.source = source;
  row.key = std::move(key);
  row.type = json_type(value);
  row.value = &value;
  row.depth = depth;
}

// --- folds

std::string MetadataRows::why_not_fold(std::size_t index) const {
  const MetaRow& row = rows_[index];
  if (row.more) return "";
  if (const auto* array = std::get_if<const MetaArray*>(&row.value)) {
    return (*array)->count > 0 ? "" : "the array is empty";
  }
  if (const auto* json = std::get_if<const Json*>(&row.value); json && (*json)->is_structured()) {
    return !(*json)->empty() ? "" : "there is nothing in it";
  }
  return long_text(row) != nullptr ? "" : "the line shows all of it";
}

// The elements of `owner` from `place` on, at most a page, and a line that stands for the others.
std::vector<MetaRow> MetadataRows::page(const MetaRow& owner, ArrayPlace place) {
  std::vector<MetaRow> out;
  std::uint64_t count = 0;
  const auto depth = static_cast<std::uint16_t>(owner.depth + (owner.more ? 0 : 1));
  const auto add_text = [&](std::string_view type, std::string text, std::uint64_t index) {
    MetaRow& row = out.emplace_back();
    row.source = owner.source;
    row.key = fmt::format("{}[{}]", owner.key, index);
    row.type = type;
    row.value = std::move(text);
    row.depth = depth;
  };
  if (const auto* array = std::get_if<const MetaArray*>(&owner.value)) {
    count = (*array)->count;
    try {
      const std::string type((*array)->element_type == 9 ? "array"
                                                         : meta_type_name((*array)->element_type));
      std::uint64_t index = place.index;
      for (std::string& one : array_elements(**array, place, kPage, kElementBytes)) {
        add_text(type, std::move(one), index++);
      }
    } catch (const Error& error) {
      out.clear();
      add_text("fault", "cannot be read: " + error.message, place.index);
      out.back().fault = true;
      return out;
    }
  } else if (const std::string* text = long_text(owner)) {
    // Lines; the place counts them and knows where the next one begins.
    count = place.index;
    for (; out.size() < kPage && place.offset_bytes <= text->size(); ++place.index) {
      const std::size_t begin = place.offset_bytes;
      const std::size_t end = line_end(*text, begin);
      if (begin == text->size() && begin > 0) {
        place.offset_bytes = end + 1;  // nothing after the last line feed
        break;
      }
      add_text("line", text->substr(begin, end - begin), place.index);
      place.offset_bytes = end < text->size() && (*text)[end] != '\n' ? end : end + 1;
    }
    count = place.index;
    if (place.offset_bytes < text->size()) {
      count += 1 + static_cast<std::uint64_t>(
                       std::count(text->begin() + static_cast<std::ptrdiff_t>(place.offset_bytes),
                                  text->end() - 1, '\n'));
    }
  } else if (const auto* json = std::get_if<const Json*>(&owner.value)) {
    const Json& value = **json;
    count = value.size();
    auto it = value.begin();
    std::advance(it, static_cast<std::ptrdiff_t>(place.index));
    for (std::uint64_t i = 0; i < kPage && it != value.end(); ++i, ++it, ++place.index) {
      std::string key = value.is_array() ? fmt::format("{}[{}]", owner.key, place.index)
                                         : fmt::format("{}.{}", owner.key, it.key());
      unfolded_ = 0;
      add_json(out, owner.source, std::move(key), *it, depth);
    }
  }
  if (place.index < count) {
    MetaRow& row = out.emplace_back();
    row.source = owner.source;
    row.key = owner.key;
    row.type = fmt::format("{} more", grouped(count - place.index));
    row.value = owner.value;
    row.depth = depth;
    row.more = true;
    row.place = place;
  }
  return out;
}

void MetadataRows::toggle(std::size_t index) {
  if (!why_not_fold(index).empty()) return;
  const auto at = rows_.begin() + static_cast<std::ptrdiff_t>(index);
  const std::size_t before = rows_.size();
  if (rows_[index].more) {
    std::vector<MetaRow> next = page(rows_[index], rows_[index].place);
    const auto rest = rows_.erase(at);
    rows_.insert(rest, std::make_move_iterator(next.begin()), std::make_move_iterator(next.end()));
  } else if (rows_[index].open) {
    rows_[index].open = false;
    const std::uint16_t depth = rows_[index].depth;
    rows_.erase(at + 1, std::find_if(at + 1, rows_.end(),
                                     [depth](const MetaRow& row) { return row.depth <= depth; }));
  } else {
    std::vector<MetaRow> first = page(rows_[index], {});
    rows_[index].open = true;
    rows_.insert(at + 1, std::make_move_iterator(first.begin()),
                 std::make_move_iterator(first.end()));
  }
  if (index < files_at_) files_at_ += rows_.size() - before;
}

// --- values

std::string MetadataRows::text(std::size_t index, std::uint64_t max_bytes) const {
  const MetaRow& row = rows_[index];
  if (row.more) return fmt::format("Enter shows the next {}", kPage);
  if (const auto* own = std::get_if<std::string>(&row.value)) return cut(*own, max_bytes);
  if (const auto* text = std::get_if<const std::string*>(&row.value)) return cut(**text, max_bytes);
  if (const auto* json = std::get_if<const Json*>(&row.value)) {
    if (!(*json)->is_structured()) {
      return (*json)->is_string() ? cut((*json)->get_ref<const std::string&>(), max_bytes)
                                  : cut(json_scalar(**json), max_bytes);
    }
    return json_preview(**json, max_bytes);
  }
  const MetaArray* array = std::get<const MetaArray*>(row.value);
  auto it = previews_.find(array);
  if (it == previews_.end()) it = previews_.emplace(array, array_preview(*array)).first;
  return cut(it->second, max_bytes);
}

std::string MetadataRows::whole(std::size_t index, std::uint64_t max_bytes) const {
  const auto* json = std::get_if<const Json*>(&rows_[index].value);
  if (rows_[index].more || json == nullptr || !(*json)->is_structured()) {
    return text(index, max_bytes);
  }
  return cut((*json)->dump(-1, ' ', false, Json::error_handler_t::replace), max_bytes);
}

double MetadataRows::number(std::size_t index) const {
  const MetaRow& row = rows_[index];
  if (row.more) return kNoNumber;
  if (const auto* array = std::get_if<const MetaArray*>(&row.value)) {
    return static_cast<double>((*array)->count);
  }
  if (const auto* json = std::get_if<const Json*>(&row.value)) {
    if ((*json)->is_number()) return (*json)->get<double>();
    return (*json)->is_structured() ? static_cast<double>((*json)->size()) : kNoNumber;
  }
  const auto* own = std::get_if<std::string>(&row.value);
  if (own == nullptr || row.type == "string" || own->empty() || own->size() > 32) return kNoNumber;
  char* end = nullptr;
  const double value = std::strtod(own->c_str(), &end);
  return end == own->c_str() + own->size() && std::isfinite(value) ? value : kNoNumber;
}

}  // namespace qi
