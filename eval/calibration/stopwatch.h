// Seconds since it was made, on a steady clock. Plain data, any thread.
#pragma once

#include <chrono>

namespace qi {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace qi
