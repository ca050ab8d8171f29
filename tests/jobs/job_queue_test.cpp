#include "engine/jobs/job_queue.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qi {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

// A door that units wait at until the test opens it.
class Gate {
 public:
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// What units did, in order.
class Log {
 public:
  void add(std::string line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

JobQueue::Options threads(unsigned count) {
  JobQueue::Options options;
  options.threads = count;
  return options;
}

Unit logged(Log& log, std::string label, std::int32_t priority = 0) {
  return {label, 1, priority, [&log, label](UnitContext&) { log.add(label); }};
}

Unit waiting_at(Gate& gate, Gate& reached) {
  return {"gate", 0, 1000, [&](UnitContext&) {
            reached.open();
            gate.pass();
          }};
}

// Spins until the job was cancelled, as an inner loop that polls would.
Unit until_cancelled(Gate& reached) {
  return {"spin", 10, 1000, [&reached](UnitContext& context) {
            reached.open();
            while (!context.cancelled()) std::this_thread::yield();
          }};
}

TEST(JobQueue, RunsEveryUnitOnceAndSaysSo) {
  std::atomic<int> runs{0};
  JobQueue queue(threads(2));
  std::vector<Unit> units;
  for (int i = 0; i < 1000; ++i) units.push_back({"u", 7, 0, [&](UnitContext&) { ++runs; }});
  const JobId job = queue.submit("all", std::move(units));
  queue.wait(job);
  EXPECT_EQ(runs, 1000);
  const JobSnapshot s = queue.snapshot(job).value();
  EXPECT_EQ(s.name, "all");
  EXPECT_EQ(s.state, JobState::kDone);
  EXPECT_EQ(s.units_total, 1000u);
  EXPECT_EQ(s.units_done, 1000u);
  EXPECT_EQ(s.bytes_done, 7000u);
  EXPECT_EQ(s.bytes_total, 7000u);
  EXPECT_EQ(s.eta_s, 0);
  EXPECT_EQ(queue.unit_state(job, 999), UnitState::kDone);
  EXPECT_EQ(queue.unit_state(job, 1000), UnitState::kCancelled);
}

TEST(JobQueue, HigherPriorityThenOlderJobThenListOrder) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  queue.submit("block", {waiting_at(gate, reached)});
  reached.pass();
  const JobId a = queue.submit("a", {logged(log, "a0"), logged(log, "a1"), logged(log, "a2", 5)});
  const JobId b = queue.submit("b", {logged(log, "b0"), logged(log, "b1", 9)});
  gate.open();
  queue.wait(a);
  queue.wait(b);
  EXPECT_THAT(log.lines(), ElementsAre("b1", "a2", "a0", "a1", "b0"));
}

TEST(JobQueue, WaitingUnitsCanBeMovedForward) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  queue.submit("block", {waiting_at(gate, reached)});
  reached.pass();
  const JobId job =
      queue.submit("a", {logged(log, "0"), logged(log, "1"), logged(log, "2"), logged(log, "3")});
  const std::size_t forward[] = {3, 1, 99};
  queue.prioritise(job, forward, 1);
  const std::size_t back[] = {1};
  queue.prioritise(job, back, -1);
  gate.open();
  queue.wait(job);
  EXPECT_THAT(log.lines(), ElementsAre("3", "0", "2", "1"));
}

TEST(JobQueue, AnExceptionEndsOneUnitOnly) {
  JobQueue queue(threads(2));
  const JobId job = queue.submit(
      "a", {{"ok", 1, 0, [](UnitContext&) {}},
            {"bad", 1, 0,
             [](UnitContext&) { throw Error(ErrorCode::kCorrupt, "bits", "", "file", 12); }},
            {"memory", 1, 0, [](UnitContext&) { throw std::bad_alloc(); }},
            {"other", 1, 0, [](UnitContext&) { throw std::runtime_error("what"); }},
            {"odd", 1, 0, [](UnitContext&) { throw 7; }},
            {"ok", 1, 0, [](UnitContext&) {}}});
  queue.wait(job);
  const JobSnapshot s = queue.snapshot(job).value();
  EXPECT_EQ(s.state, JobState::kDone);
  EXPECT_EQ(s.units_done, 6u);
  EXPECT_EQ(s.units_failed, 4u);
  EXPECT_EQ(s.bytes_done, 6u);
  EXPECT_EQ(queue.unit_state(job, 0), UnitState::kDone);
  EXPECT_EQ(queue.unit_state(job, 1), UnitState::kFailed);
  std::map<std::string, ErrorCode> codes;
  for (const UnitError& e : queue.errors(job)) codes.emplace(e.label, e.error.code);
  EXPECT_EQ(codes.at("bad"), ErrorCode::kCorrupt);
  EXPECT_EQ(codes.at("memory"), ErrorCode::kMemory);
  EXPECT_EQ(codes.at("other"), ErrorCode::kIo);
  EXPECT_EQ(codes.at("odd"), ErrorCode::kIo);
  EXPECT_THAT(queue.errors(job, 3), SizeIs(1));
  EXPECT_THAT(queue.errors(job, 4), SizeIs(0));
}

TEST(JobQueue, CancelEndsWaitingUnitsAtOnceAndRunningOnesWhenTheyPoll) {
  Gate reached;
  Log log;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {until_cancelled(reached), logged(log, "never")});
  const JobId other = queue.submit("b", {logged(log, "other")});
  reached.pass();
  queue.cancel(job);
  queue.wait(job);
  queue.wait(other);
  EXPECT_THAT(log.lines(), ElementsAre("other"));
  const JobSnapshot s = queue.snapshot(job).value();
  EXPECT_EQ(s.state, JobState::kCancelled);
  EXPECT_EQ(s.units_done, 2u);
  EXPECT_EQ(s.units_cancelled, 2u);
  EXPECT_EQ(s.bytes_done, 0u);
  EXPECT_EQ(queue.unit_state(job, 0), UnitState::kCancelled);
  EXPECT_EQ(queue.unit_state(job, 1), UnitState::kCancelled);
  // Nothing more runs in a cancelled job; a finished one cannot be cancelled any more.
  queue.append(job, {logged(log, "late")});
  queue.wait(job);
  queue.cancel(other);
  EXPECT_EQ(queue.snapshot(other)->state, JobState::kDone);
  EXPECT_THAT(log.lines(), SizeIs(1));
}

TEST(JobQueue, AppendReopensAJobAndForgetDropsIt) {
  Log log;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {logged(log, "0")});
  queue.wait(job);
  EXPECT_EQ(queue.append(job, {logged(log, "1"), logged(log, "2")}), 1u);
  queue.wait(job);
  EXPECT_THAT(log.lines(), ElementsAre("0", "1", "2"));
  queue.forget(job);
  EXPECT_FALSE(queue.snapshot(job).has_value());
  EXPECT_THAT(queue.snapshot(), SizeIs(0));
  queue.cancel(job);
  queue.wait(job);
  EXPECT_EQ(queue.append(job, {logged(log, "3")}), 0u);
  EXPECT_THAT(queue.errors(job), SizeIs(0));
}

TEST(JobQueue, AnActiveJobIsNotForgotten) {
  Gate gate, reached;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {waiting_at(gate, reached)});
  reached.pass();
  queue.forget(job);
  EXPECT_THAT(queue.snapshot(job)->running, ElementsAre("gate"));
  gate.open();
  queue.wait(job);
}

TEST(JobQueue, ShutdownStopsRunningUnitsAndDropsTheRest) {
  Gate reached;
  Log log;
  JobQueue queue(threads(2));
  const JobId job = queue.submit("a", {until_cancelled(reached)});
  reached.pass();
  std::vector<Unit> many;
  Gate again;
  many.push_back(until_cancelled(again));
  for (int i = 0; i < 1000; ++i) many.push_back(logged(log, "x", -1));
  queue.submit("b", std::move(many));
  again.pass();
  queue.shutdown();
  EXPECT_EQ(queue.snapshot(job)->state, JobState::kCancelled);
  EXPECT_THAT(log.lines(), SizeIs(0));
  queue.shutdown();
  const JobId late = queue.submit("late", {logged(log, "late")});
  queue.wait(late);
  EXPECT_EQ(queue.snapshot(late)->state, JobState::kCancelled);
  EXPECT_THAT(log.lines(), SizeIs(0));
}

TEST(JobQueue, AnEmptyJobIsDoneAtOnce) {
  JobQueue queue(threads(1));
  const JobId job = queue.submit("none", {});
  queue.wait(job);
  EXPECT_EQ(queue.snapshot(job)->state, JobState::kDone);
}

TEST(JobQueue, ProgressIsNeverMoreThanAUnitsBytes) {
  Gate gate, reached;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {{"u", 100, 0,
                                        [&](UnitContext& context) {
                                          context.add_progress(60);
                                          context.add_progress(60);
                                          reached.open();
                                          gate.pass();
                                        }},
                                       {"v", 11, 0, [](UnitContext&) {}}});
  reached.pass();
  EXPECT_EQ(queue.snapshot(job)->bytes_done, 100u);
  EXPECT_EQ(queue.snapshot(job)->bytes_total, 111u);
  gate.open();
  queue.wait(job);
  EXPECT_EQ(queue.snapshot(job)->bytes_done, 111u);
}

TEST(JobQueue, RateAndEtaFollowTheClock) {
  std::atomic<double> now{100};
  JobQueue::Options options = threads(1);
  options.clock = [&] { return now.load(); };
  JobQueue queue(options);
  Gate half, reached_half, rest, reached_rest;
  const JobId job = queue.submit("a", {{"u", 1000, 0, [&](UnitContext& context) {
                                          reached_half.open();
                                          half.pass();
                                          context.add_progress(500);
                                          reached_rest.open();
                                          rest.pass();
                                        }}});
  reached_half.pass();
  EXPECT_FALSE(queue.snapshot(job)->eta_s.has_value());
  now = 110;
  half.open();
  reached_rest.pass();
  const JobSnapshot s = queue.snapshot(job).value();
  EXPECT_DOUBLE_EQ(s.bytes_per_s, 50);
  EXPECT_DOUBLE_EQ(s.eta_s.value(), 10);
  EXPECT_DOUBLE_EQ(s.elapsed_s, 10);
  rest.open();
  queue.wait(job);
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 10);
  now = 500;
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 10);
}

TEST(JobQueue, APausedJobStartsNothingAndOthersGoOn) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  const JobId block = queue.submit("block", {waiting_at(gate, reached)});
  reached.pass();
  const JobId held = queue.submit("held", {logged(log, "held0", 9), logged(log, "held1", 9)});
  const JobId other = queue.submit("other", {logged(log, "other")});
  queue.pause(held);
  gate.open();
  queue.wait(block);
  queue.wait(other);
  // Also what comes or moves forward meanwhile waits.
  queue.append(held, {logged(log, "held2")});
  const std::size_t forward[] = {2};
  queue.prioritise(held, forward, 99);
  queue.wait(queue.submit("more", {logged(log, "more")}));
  EXPECT_THAT(log.lines(), ElementsAre("other", "more"));
  const JobSnapshot s = queue.snapshot(held).value();
  EXPECT_EQ(s.state, JobState::kActive);
  EXPECT_TRUE(s.paused);
  EXPECT_FALSE(s.eta_s.has_value());
  EXPECT_EQ(queue.unit_state(held, 0), UnitState::kWaiting);
  queue.resume(held);
  queue.wait(held);
  EXPECT_THAT(log.lines(), ElementsAre("other", "more", "held2", "held0", "held1"));
  EXPECT_FALSE(queue.snapshot(held)->paused);
  EXPECT_EQ(queue.snapshot(held)->state, JobState::kDone);
}

TEST(JobQueue, RunningUnitsOfAPausedJobGoOn) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {waiting_at(gate, reached), logged(log, "next")});
  reached.pass();
  queue.pause(job);
  queue.pause(job);
  EXPECT_THAT(queue.snapshot(job)->running, ElementsAre("gate"));
  gate.open();
  // The pool is free for others once the running unit has ended.
  queue.wait(queue.submit("b", {logged(log, "b")}));
  EXPECT_THAT(log.lines(), ElementsAre("b"));
  EXPECT_EQ(queue.unit_state(job, 0), UnitState::kDone);
  EXPECT_EQ(queue.unit_state(job, 1), UnitState::kWaiting);
  queue.resume(job);
  queue.resume(job);
  queue.wait(job);
  EXPECT_THAT(log.lines(), ElementsAre("b", "next"));
}

TEST(JobQueue, OnlyAnActiveJobIsPaused) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  const JobId job = queue.submit("a", {logged(log, "0")});
  queue.wait(job);
  queue.pause(job);
  queue.pause(999);
  queue.resume(999);
  EXPECT_FALSE(queue.snapshot(job)->paused);
  queue.append(job, {logged(log, "1")});
  queue.wait(job);
  EXPECT_THAT(log.lines(), ElementsAre("0", "1"));
  // One that ends while paused is not paused any more: what is appended later runs.
  queue.append(job, {waiting_at(gate, reached)});
  reached.pass();
  queue.pause(job);
  gate.open();
  queue.wait(job);
  queue.append(job, {logged(log, "2")});
  queue.wait(job);
  EXPECT_THAT(log.lines(), ElementsAre("0", "1", "2"));
}

TEST(JobQueue, APausedJobIsCancelledAndShutDownLikeAnyOther) {
  Gate gate, reached;
  Log log;
  JobQueue queue(threads(1));
  const JobId block = queue.submit("block", {waiting_at(gate, reached)});
  reached.pass();
  const JobId a = queue.submit("a", {logged(log, "a")});
  const JobId b = queue.submit("b", {logged(log, "b")});
  queue.pause(a);
  queue.pause(b);
  queue.cancel(a);
  queue.wait(a);
  EXPECT_EQ(queue.snapshot(a)->state, JobState::kCancelled);
  EXPECT_FALSE(queue.snapshot(a)->paused);
  queue.resume(a);
  gate.open();
  queue.wait(block);
  queue.wait(queue.submit("c", {logged(log, "c")}));
  queue.shutdown();
  EXPECT_EQ(queue.snapshot(b)->state, JobState::kCancelled);
  EXPECT_THAT(log.lines(), ElementsAre("c"));
}

TEST(JobQueue, APauseCountsNeitherAsTimeNorAgainstTheRate) {
  std::atomic<double> now{100};
  JobQueue::Options options = threads(1);
  options.clock = [&] { return now.load(); };
  JobQueue queue(options);
  Gate first, in_first, second, in_second;
  const auto unit = [](Gate& door, Gate& reached) {
    return Unit{"u", 500, 0, [&](UnitContext&) {
                  reached.open();
                  door.pass();
                }};
  };
  const JobId job = queue.submit("a", {unit(first, in_first), unit(second, in_second)});
  in_first.pass();
  queue.pause(job);
  now = 110;  // the running unit goes on: time counts
  first.open();
  queue.wait(queue.submit("b", {{"b", 0, 0, [](UnitContext&) {}}}));
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 10);
  now = 5000;
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 10);
  EXPECT_FALSE(queue.snapshot(job)->eta_s.has_value());
  queue.resume(job);
  in_second.pass();
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->bytes_per_s, 50);
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->eta_s.value(), 10);
  now = 5010;
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 20);
  second.open();
  queue.wait(job);
  EXPECT_DOUBLE_EQ(queue.snapshot(job)->elapsed_s, 20);
}

TEST(JobQueue, UnitsAreToldHowManyThreadsTheyMayUse) {
  Gate gate, reached;
  std::atomic<unsigned> alone{0};
  std::atomic<unsigned> crowded{0};
  JobQueue queue(threads(4));
  queue.wait(queue.submit("a", {{"u", 0, 0, [&](UnitContext& c) { alone = c.threads(); }}}));
  EXPECT_EQ(alone, 4u);
  std::vector<Unit> many;
  for (int i = 0; i < 50; ++i) {
    many.push_back({"u", 0, -i, [&](UnitContext& c) {
                      unsigned expected = 0;
                      crowded.compare_exchange_strong(expected, c.threads());
                    }});
  }
  queue.wait(queue.submit("b", std::move(many)));
  EXPECT_EQ(crowded, 1u);
}

TEST(JobQueue, EventsWakeTheViewForEveryEnd) {
  std::atomic<int> events{0};
  JobQueue::Options options = threads(2);
  options.on_event = [&] { ++events; };
  JobQueue queue(options);
  std::vector<Unit> units;
  for (int i = 0; i < 10; ++i) units.push_back({"u", 1, 0, [](UnitContext&) {}});
  const JobId job = queue.submit("a", std::move(units));
  queue.wait(job);
  queue.shutdown();
  EXPECT_GE(events, 21);  // submitted, ten starts, ten ends
}

TEST(JobQueue, ManyThreadsSubmitCancelAndLookAtOnce) {
  JobQueue queue(threads(3));
  std::atomic<int> runs{0};
  std::vector<std::thread> users;
  for (int t = 0; t < 4; ++t) {
    users.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        std::vector<Unit> units;
        for (int u = 0; u < 8; ++u) {
          units.push_back({"u", 100, u, [&](UnitContext& context) {
                             context.add_progress(50);
                             ++runs;
                           }});
        }
        const JobId job = queue.submit("j", std::move(units));
        const std::size_t some[] = {0, 3};
        queue.prioritise(job, some, i);
        if (i % 2 == 0) queue.pause(job);
        if ((i + t) % 3 == 0) queue.cancel(job);
        queue.snapshot();
        queue.resume(job);
        queue.wait(job);
        queue.forget(job);
      }
    });
  }
  for (std::thread& user : users) user.join();
  EXPECT_THAT(queue.snapshot(), SizeIs(0));
  EXPECT_LE(runs, 800);
}

}  // namespace
}  // namespace qi
