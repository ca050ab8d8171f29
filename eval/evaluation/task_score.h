// What counts as a right answer, as lm-evaluation-harness counts it: of choices the likeliest, of
// generated text the number found in it. Pure functions, any thread.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace qi {

/// The choice of the largest log-likelihood, of that a character, and of that a byte; of equals
/// the first one.
std::array<std::size_t, 3> best_choices(std::span<const double> log_likelihoods,
                                        std::span<const std::string> choices);

inline constexpr std::string_view kNoAnswer = "[invalid]";
/// What the first "#### (-?[0-9.,]+)" found, or kNoAnswer.
std::string strict_answer(std::string_view text);
/// The last "(-?[$0-9.,]{2,})|(-?[0-9]+)", or kNoAnswer.
std::string flexible_answer(std::string_view text);
/// The same but for commas, "$", case, all before the last "#### " and a full stop at the end.
bool same_answer(std::string_view given, std::string_view right);

}  // namespace qi
