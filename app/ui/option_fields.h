// Fields of forms out of the table of options, and what the parser says of a choice. Pure
// functions, any thread.
#pragma once

#include <functional>
#include <string>

#include "app/option_table.h"
#include "views/form_list.h"

namespace qi {

/// Named as the option without its dashes; of the help what is about it, not which mode it is for.
FormField option_field(const OptionSpec& option);

/// What `act` refuses, in one line; empty: it does not.
std::string refusal_of(const std::function<void()>& act);

}  // namespace qi
