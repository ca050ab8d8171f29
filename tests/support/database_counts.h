// How many rows of a results database there are, counted behind the program's back.
#pragma once

#include <cstdint>
#include <string>

#include <SQLiteCpp/SQLiteCpp.h>

namespace qi::test {

inline constexpr const char* kMeasured = "result WHERE bytes_out IS NOT NULL";
inline constexpr const char* kClaims = "result WHERE owner <> ''";

inline std::int64_t count(const std::string& database, const std::string& table) {
  SQLite::Database db(database, SQLite::OPEN_READONLY, 10'000);
  return db.execAndGet("SELECT count(*) FROM " + table).getInt64();
}

}  // namespace qi::test
