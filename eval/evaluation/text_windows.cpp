#include "eval/evaluation/text_windows.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {
namespace {

constexpr std::uint64_t kHuggingFaceContext = 2048;
constexpr std::uint64_t kLlamaCppContext = 512;

PerplexityOptions with_defaults(PerplexityOptions options, std::uint64_t model_context) {
  const bool llama_cpp = options.protocol == Protocol::kLlamaCpp;
  const std::uint64_t least = llama_cpp ? 4 : 2;  // that any token counts
  if (options.context == 0) {
    options.context = llama_cpp ? kLlamaCppContext : kHuggingFaceContext;
    if (model_context > 0) options.context = std::min(options.context, model_context);
  }
  if (model_context > 0 && options.context > model_context) {
    throw Error(
        ErrorCode::kUsage, fmt::format("--context {}", options.context),
        fmt::format("at most {}, the positions that the model was made for", model_context));
  }
  if (options.context < least) {
    throw Error(ErrorCode::kUsage, fmt::format("--context {}", options.context),
                fmt::format("at least {} tokens", least));
  }
  if (options.stride == 0) options.stride = options.context;
  if (options.stride > options.context || (llama_cpp && options.stride < options.context)) {
    throw Error(ErrorCode::kUsage, fmt::format("--stride {}", options.stride),
                llama_cpp ? "none with llama.cpp's protocol"
                          : fmt::format("at most {}, the context", options.context));
  }
  return options;
}

}  // namespace

std::string_view protocol_name(Protocol protocol) {
  return protocol == Protocol::kHuggingFace ? "hf" : "llama.cpp";
}

PerplexityPlan::PerplexityPlan(std::vector<std::int32_t> tokens, const PerplexityOptions& options,
                               std::uint64_t model_context)
    : stream_(std::move(tokens)), options_(with_defaults(options, model_context)) {
  if (options_.bos) stream_.insert(stream_.begin(), *options_.bos);
  const bool llama_cpp = options_.protocol == Protocol::kLlamaCpp;
  const std::uint64_t needed = (llama_cpp ? 2 : 1) * options_.context;
  if (stream_.size() < needed) {
    throw Error(ErrorCode::kBadValue, fmt::format("a text of {} tokens", stream_.size()),
                fmt::format("at least {} for {} of {}, or a smaller --context", needed,
                            llama_cpp ? "two windows" : "a window", options_.context));
  }
  windows_ = (stream_.size() - options_.context) / options_.stride + 1;
  if (options_.limit > 0) windows_ = std::min(windows_, options_.limit);
}

std::size_t PerplexityPlan::scored_from(std::uint64_t window) const {
  if (options_.protocol == Protocol::kLlamaCpp) return options_.context / 2 + 1;
  return window == 0 ? 1 : std::max<std::uint64_t>(1, options_.context - options_.stride);
}

TextWindow PerplexityPlan::window(std::uint64_t index) const {
  const auto begin = stream_.begin() + static_cast<std::ptrdiff_t>(index * options_.stride);
  TextWindow window{
      index, {begin, begin + static_cast<std::ptrdiff_t>(options_.context)}, scored_from(index)};
  if (options_.protocol == Protocol::kLlamaCpp && options_.bos) window.tokens[0] = *options_.bos;
  return window;
}

std::uint64_t PerplexityPlan::scored() const {
  return options_.context - scored_from(0) + (windows_ - 1) * (options_.context - scored_from(1));
}

}  // namespace qi
