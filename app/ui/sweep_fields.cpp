#include "app/ui/sweep_fields.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "app/ui/option_fields.h"
#include "eval/calibration/calibrated_model.h"

namespace qi {
namespace {

constexpr std::array<std::string_view, 3> kCalibration = {"--calibration", "--nsamples",
                                                          "--max_sequence_length"};
constexpr std::array<std::string_view, 6> kEvaluation = {"--with",    "--text",  "--task",
                                                         "--context", "--limit", "--tokenizer"};
constexpr std::string_view kFirstKind = "ppl";  // until other kinds are typed

template <std::size_t kCount>
std::vector<FormField> fields_of(const std::array<std::string_view, kCount>& names) {
  std::vector<FormField> out;
  for (const std::string_view name : names) {
    const auto table = option_table();
    const auto option = std::find_if(table.begin(), table.end(),
                                     [&](const OptionSpec& one) { return one.name == name; });
    out.push_back(option_field(*option));
  }
  return out;
}

std::string problem_of(const SweepForm& form, const std::string& path) {
  return refusal_of([&] {
    const Options options = sweep_options(form, path);
    for (const std::string& family : options.families) {
      if (is_calibrated(family) && options.calibration.empty()) {
        throw Error(ErrorCode::kUsage,
                    fmt::format("{} looks at a text: calibration names its file", family));
      }
    }
  });
}

}  // namespace

SweepSpeeds sweep_speeds(const ResultSet& set) {
  std::map<std::string, std::pair<double, double>, std::less<>> sums;
  for (const ResultRow& row : set.rows()) {
    if (row.is_total() || !row.encode_s || row.weights == 0) continue;
    auto& [seconds, numbers] = sums[row.config.family];
    seconds += *row.encode_s + row.decode_s.value_or(0);
    numbers += static_cast<double>(row.weights);
  }
  SweepSpeeds out;
  for (const auto& [family, sum] : sums) out[family] = sum.first / sum.second;
  return out;
}

SweepForm::Extras sweep_extras(const std::string& path) {
  FormSection evaluation{"evaluate", "each configuration on the whole model", {}, false, false};
  evaluation.fields = fields_of(kEvaluation);
  evaluation.fields.front().defaults = kFirstKind;
  SweepForm::Extras extras;
  extras.calibration = fields_of(kCalibration);
  extras.evaluation = std::move(evaluation);
  extras.check = [path](const SweepForm& form) { return problem_of(form, path); };
  return extras;
}

Options sweep_options(const SweepForm& form, const std::string& path) {
  const std::vector<std::string> families = form.families();
  if (families.empty()) return {};
  std::vector<std::string> arguments = {"--sweep", fmt::format("{}", fmt::join(families, ","))};
  for (const auto& [name, values] : form.grid()) {
    arguments.push_back("--" + name);
    if (!values.empty()) arguments.push_back(fmt::format("{}", fmt::join(values, ",")));
  }
  for (const auto& [name, text] : form.options()) {
    arguments.push_back("--" + name);
    if (!text.empty()) arguments.push_back(text);
  }
  arguments.insert(arguments.end(), {"--", path});
  return parse_options(arguments);
}

}  // namespace qi
