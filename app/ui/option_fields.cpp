#include "app/ui/option_fields.h"

#include <fmt/format.h>

#include "engine/io/error.h"

namespace qi {

FormField option_field(const OptionSpec& option) {
  std::string_view help = option.help;
  if (const std::size_t colon = help.find(": "); help.starts_with("--") && colon != help.npos) {
    help.remove_prefix(colon + 2);
  }
  return {std::string(option.name.substr(2)), std::string(option.value), "", std::string(help)};
}

std::string refusal_of(const std::function<void()>& act) {
  try {
    act();
    return "";
  } catch (const Error& error) {
    const bool says = !error.expected.empty() && !error.expected.starts_with("see ");
    return says ? fmt::format("{}: expected {}", error.message, error.expected) : error.message;
  }
}

}  // namespace qi
