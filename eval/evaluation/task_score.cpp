#include "eval/evaluation/task_score.h"

#include <algorithm>

#include "eval/evaluation/task_file.h"

namespace qi {
namespace {

constexpr std::string_view kMark = "#### ";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Bytes from `at` on that are digits or of `others`.
std::size_t run_length(std::string_view text, std::size_t at, std::string_view others) {
  std::size_t end = at;
  while (end < text.size() &&
         (is_digit(text[end]) || others.find(text[end]) != std::string_view::npos)) {
    ++end;
  }
  return end - at;
}

std::string comparable(std::string_view text) {
  const std::size_t mark = text.rfind(kMark);
  if (mark != std::string_view::npos) text.remove_prefix(mark + kMark.size());
  std::string out;
  for (const char c : text) {
    if (c == ',' || c == '$') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  if (out.ends_with('.')) out.pop_back();
  return out;
}

}  // namespace

std::array<std::size_t, 3> best_choices(std::span<const double> log_likelihoods,
                                        std::span<const std::string> choices) {
  std::array<std::size_t, 3> best{};
  std::array<double, 3> most{};
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const double sum = log_likelihoods[i];
    const std::array<double, 3> each = {sum, sum / static_cast<double>(characters(choices[i])),
                                        sum / static_cast<double>(choices[i].size())};
    for (std::size_t k = 0; k < each.size(); ++k) {
      if (i > 0 && !(each[k] > most[k])) continue;
      most[k] = each[k];
      best[k] = i;
    }
  }
  return best;
}

std::string strict_answer(std::string_view text) {
  for (std::size_t at = text.find(kMark); at != std::string_view::npos;
       at = text.find(kMark, at + 1)) {
    const std::size_t begin = at + kMark.size();
    const std::size_t sign = begin < text.size() && text[begin] == '-' ? 1 : 0;
    const std::size_t length = run_length(text, begin + sign, ".,");
    if (length > 0) return std::string(text.substr(begin, sign + length));
  }
  return std::string(kNoAnswer);
}

std::string flexible_answer(std::string_view text) {
  std::string_view last = kNoAnswer;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t sign = text[at] == '-' ? 1 : 0;
    std::size_t length = run_length(text, at + sign, "$.,");
    if (length < 2) length = run_length(text, at + sign, "");
    if (length == 0) {
      ++at;
      continue;
    }
    last = text.substr(at, sign + length);
    at += last.size();
  }
  return std::string(last);
}

bool same_answer(std::string_view given, std::string_view right) {
  return comparable(given) == comparable(right);
}

}  // namespace qi
