#include "app/run.h"

#include <unistd.h>

#include <new>
#include <string_view>

#include "app/help.h"
#include "app/modes/modes.h"
#include "app/signals.h"
#include "engine/text/escape.h"

namespace qi {
namespace {

constexpr int kStdoutClosed = 141;  // 128 + SIGPIPE, as a shell would see it

void print_text(const std::string& text) {
  const auto output = stdout_output();
  output->write(text);
  output->finish();
}

int run_mode(const Options& options, Messages& messages) {
  if (options.mode == Mode::kHelp) {
    print_text(help_text(options.help_topic));
    return 0;
  }
  if (options.mode == Mode::kVersion) {
    print_text(version_text());
    return 0;
  }
  install_signals(true);
  Session session(options, messages);
  run_list(session);
  return messages.status();
}

int guarded_run(const std::vector<std::string>& arguments) {
  Messages before(false, false);
  try {
    const Options options = parse_options(arguments);
    Messages messages(options.quiet, options.verbose);
    try {
      return run_mode(options, messages);
    } catch (const Error& error) {
      messages.error(error);
      return messages.status();
    }
  } catch (const Interrupted&) {
    return interrupted_status();
  } catch (const ReaderGone&) {
    return kStdoutClosed;
  } catch (const Error& error) {
    before.error(error);
  } catch (const std::bad_alloc&) {
    print_error_line("qinspect: out of memory [memory]");
    return 1;
  } catch (const std::exception& other) {
    print_error_line("qinspect: " + escape(other.what()) + " [io]");
    return 1;
  }
  return before.status();
}

}  // namespace

int run(int argc, char** argv) noexcept {
  try {
    return guarded_run(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (...) {
    // Only making or printing a message can end here: there is no memory for it.
    constexpr std::string_view kLine = "qinspect: out of memory [memory]\n";
    [[maybe_unused]] const ssize_t done = ::write(STDERR_FILENO, kLine.data(), kLine.size());
    return 1;
  }
}

}  // namespace qi
