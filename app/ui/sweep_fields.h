// What the form of a sweep has besides families and grids: fields out of the table of options, its
// choice as it is given in batch (one parser, one set of refusals), and what is known of the time
// that families take. Pure functions, any thread.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "views/result_set.h"
#include "views/sweep_form.h"

namespace qi {

/// Fields of the calibration text and of evaluations; the check is the parser's. `path`: the
/// model's.
SweepForm::Extras sweep_extras(const std::string& path);

/// The options that the form's choice stands for. Throws kUsage.
Options sweep_options(const SweepForm& form, const std::string& path);

/// Time of a number by family, over all rows that have one.
SweepSpeeds sweep_speeds(const ResultSet& set);

}  // namespace qi
