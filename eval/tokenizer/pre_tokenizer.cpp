#include <algorithm>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/io/error.h"
#include "eval/tokenizer/byte_level.h"
#include "eval/tokenizer/description.h"
#include "eval/tokenizer/steps.h"

namespace qi {
namespace {

using Json = nlohmann::json;

// What becomes of the delimiters that a pattern finds.
enum class Behaviour { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

Behaviour behaviour_of(const Json& description) {
  const std::string name = text_field(description, "behavior");
  if (name == "Removed") return Behaviour::kRemoved;
  if (name == "Isolated") return Behaviour::kIsolated;
  if (name == "MergedWithPrevious") return Behaviour::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behaviour::kMergedWithNext;
  if (name == "Contiguous") return Behaviour::kContiguous;
  refuse_type("Split", name);
}

struct Slice {
  Range range;
  bool delimiter;
};

void append_range(const Range& range, std::vector<Range>& out) {
  if (range.begin < range.end) out.push_back(range);
}

// Of neighbours that `together` says so of one range is made.
template <typename Together>
void append_joined(const std::vector<Slice>& parts, const Together& together,
                   std::vector<Range>& out) {
  for (std::size_t i = 0; i < parts.size();) {
    Range range = parts[i].range;
    for (++i; i < parts.size() && together(i - 1, i); ++i) range.end = parts[i].range.end;
    append_range(range, out);
  }
}

void append_parts(const std::vector<Slice>& parts, Behaviour behaviour, std::vector<Range>& out) {
  const auto is = [&](std::size_t i) { return parts[i].delimiter; };
  switch (behaviour) {
    case Behaviour::kRemoved:
      for (const Slice& part : parts) {
        if (!part.delimiter) append_range(part.range, out);
      }
      break;
    case Behaviour::kIsolated:
      for (const Slice& part : parts) append_range(part.range, out);
      break;
    case Behaviour::kMergedWithPrevious:
      append_joined(
          parts, [&](auto a, auto b) { return !is(a) && is(b); }, out);
      break;
    case Behaviour::kMergedWithNext:
      append_joined(
          parts, [&](auto a, auto b) { return is(a) && !is(b); }, out);
      break;
    case Behaviour::kContiguous:
      append_joined(
          parts, [&](auto a, auto b) { return is(a) == is(b); }, out);
      break;
  }
}

PieceStep split(Pattern pattern, Behaviour behaviour, bool invert) {
  const auto shared = std::make_shared<const Pattern>(std::move(pattern));
  return [shared, behaviour, invert](Pieces& pieces) {
    PatternSearch search(*shared);
    std::vector<Range> out;
    std::vector<Range> matches;
    std::vector<Slice> parts;
    for (const Range& piece : pieces.ranges) {
      const std::string_view text(pieces.text.data() + piece.begin, piece.end - piece.begin);
      matches.clear();
      search.append_all(text, piece.begin, matches);
      parts.clear();
      std::uint32_t at = piece.begin;
      for (const Range& match : matches) {
        if (at < match.begin) parts.push_back({{at, match.begin}, invert});
        parts.push_back({match, !invert});
        at = match.end;
      }
      if (at < piece.end) parts.push_back({{at, piece.end}, invert});
      append_parts(parts, behaviour, out);
    }
    pieces.ranges = std::move(out);
  };
}

PieceStep split(std::string_view expression, Behaviour behaviour) {
  return split(Pattern::regex(expression), behaviour, false);
}

// Writes each piece anew with append(piece, out).
template <typename Append>
void rewrite(Pieces& pieces, const Append& append) {
  std::string out;
  out.reserve(pieces.text.size() + pieces.text.size() / 4);
  for (Range& range : pieces.ranges) {
    const auto begin = static_cast<std::uint32_t>(out.size());
    append(std::string_view(pieces.text.data() + range.begin, range.end - range.begin), out);
    check_text_size(out.size());
    range = {begin, static_cast<std::uint32_t>(out.size())};
  }
  pieces.text = std::move(out);
}

void prepend_space(Pieces& pieces) {
  rewrite(pieces, [](std::string_view piece, std::string& out) {
    if (!piece.starts_with(' ')) out += ' ';
    out += piece;
  });
}

void to_byte_level(Pieces& pieces) {
  const auto& texts = byte_level_texts();
  rewrite(pieces, [&](std::string_view piece, std::string& out) {
    for (const char c : piece) out += texts[static_cast<unsigned char>(c)];
  });
}

void add_byte_level(const Json& description, std::vector<PieceStep>& steps) {
  if (flag_field(description, "add_prefix_space", true)) steps.emplace_back(prepend_space);
  if (flag_field(description, "use_regex", true)) {
    steps.push_back(split(kGpt2Pattern, Behaviour::kIsolated));
  }
  steps.emplace_back(to_byte_level);
}

// Spaces become the mark; one stands before the text, and pieces begin with one.
void add_metaspace(const Json& description, std::vector<PieceStep>& steps) {
  std::string mark = text_field(description, "replacement");
  if (mark.empty()) refuse_type("pre_tokenizer", "Metaspace without a mark");
  std::string scheme = "always";
  if (description.contains("prepend_scheme")) scheme = text_field(description, "prepend_scheme");
  if (!flag_field(description, "add_prefix_space", true)) scheme = "never";
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    refuse_type("Metaspace", scheme);
  }
  steps.push_back([mark, scheme](Pieces& pieces) {
    const char* begin = pieces.begins_input ? pieces.text.data() : nullptr;
    rewrite(pieces, [&](std::string_view piece, std::string& out) {
      const bool wanted = scheme == "always" || (scheme == "first" && piece.data() == begin);
      if (wanted && !piece.starts_with(mark) && !piece.starts_with(' ')) out += mark;
      for (const char c : piece) {
        if (c == ' ') {
          out += mark;
        } else {
          out += c;
        }
      }
    });
  });
  if (flag_field(description, "split", true)) {
    steps.push_back(split(Pattern::literal(mark), Behaviour::kMergedWithNext, false));
  }
}

}  // namespace

PieceStep cut_before_runs(std::string_view mark) {
  return [mark = std::string(mark)](Pieces& pieces) {
    std::vector<Range> out;
    for (const Range& range : pieces.ranges) {
      const std::string_view text(pieces.text.data(), range.end);
      std::size_t begin = range.begin;
      for (std::size_t at = begin; (at = text.find(mark, at)) != std::string_view::npos;) {
        if (at > begin) {
          out.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at)});
        }
        begin = at;
        while (text.substr(at).starts_with(mark)) at += mark.size();
      }
      append_range({static_cast<std::uint32_t>(begin), range.end}, out);
    }
    pieces.ranges = std::move(out);
  };
}

std::vector<PieceStep> pre_tokenizer_steps(const Json& description) {
  std::vector<PieceStep> steps;
  for_each_component(
      description, "pretokenizers", "pre_tokenizer",
      [&](const Json& component, std::string_view type) {
        if (type == "Split") {
          steps.push_back(split(pattern_field(component), behaviour_of(component),
                                flag_field(component, "invert", false)));
        } else if (type == "ByteLevel") {
          add_byte_level(component, steps);
        } else if (type == "Metaspace") {
          add_metaspace(component, steps);
        } else if (type == "Digits") {
          const bool each = flag_field(component, "individual_digits", false);
          steps.push_back(split(each ? R"(\p{N})" : R"(\p{N}+)", Behaviour::kIsolated));
        } else if (type == "Punctuation") {
          const bool told = component.contains("behavior");
          steps.push_back(
              split(R"([\p{P}$+<=>^`|~])", told ? behaviour_of(component) : Behaviour::kIsolated));
        } else if (type == "WhitespaceSplit") {
          steps.push_back(split(R"(\s+)", Behaviour::kRemoved));
        } else {
          refuse_type("pre_tokenizer", type);
        }
      });
  return steps;
}

}  // namespace qi
