// Details and windows of a real model's weights, as the Weight screen asks for them.
#include "app/ui/background_weight.h"

#include <poll.h>

#include <functional>

#include <gtest/gtest.h>

#include "engine/format/open.h"

namespace qi {
namespace {

std::shared_ptr<const Model> stories(const std::string& name) {
  const Catalog found = find_models(std::string(QI_TEST_DATA) + "/models/stories260K/" + name);
  return std::make_shared<const Model>(open_model(found.models.front()));
}

class BackgroundWeightTest : public testing::Test {
 protected:
  std::shared_ptr<Wake> wake_ = std::make_shared<Wake>();
  JobQueue queue_{{.threads = 2,
                   .on_event = [this] { wake_->signal(); },
                   .event_interval_s = 0.1,
                   .clock = {}}};
  std::shared_ptr<const Model> model_ = stories("stories260K-F32.gguf");

  // Looks again after each wake-up, as the event loop does.
  void until(const std::function<bool()>& done) {
    while (!done()) {
      pollfd waiting{wake_->fd(), POLLIN, 0};
      ASSERT_EQ(poll(&waiting, 1, 60000), 1);
      wake_->clear();
    }
  }
  std::uint32_t find(std::string_view name) const {
    for (std::uint32_t i = 0; i < model_->weights.size(); ++i) {
      if (model_->weights[i].name == name) return i;
    }
    return 0;
  }
};

TEST_F(BackgroundWeightTest, CountsTheWeightShownLast) {
  BackgroundWeight background(model_, queue_, wake_);
  for (std::uint32_t i = 0; i < model_->weights.size(); ++i) background.show(i);
  const auto last = static_cast<std::uint32_t>(model_->weights.size() - 1);
  until([&] { return background.known(last) != nullptr; });
  const BackgroundWeight::Result* known = background.known(last);
  ASSERT_NE(known->details, nullptr) << known->failure;
  EXPECT_EQ(known->details->values.total, model_->weights[last].params);
  // Known already: nothing runs for it any more.
  background.show(last);
  EXPECT_NE(background.known(last), nullptr);
}

TEST_F(BackgroundWeightTest, ReadsTheWindowAskedForLast) {
  BackgroundWeight background(model_, queue_, wake_);
  const std::uint32_t weight = find("blk.1.ffn_up.weight");
  for (std::uint64_t row = 0; row < 20; ++row) background.read(weight, {row, 5, 3, 4});
  std::optional<BackgroundWeight::Window> got;
  until([&] {
    auto window = background.take_window();
    if (window) got = std::move(window);
    return got && got->window != nullptr && got->window->tile.row == 19;
  });
  std::vector<float> plain(20);
  open_reader(*model_, model_->weights[weight])->values({19, 5, 3, 4}, plain.data());
  EXPECT_EQ(got->window->values, plain);
  EXPECT_EQ(got->window->element_bytes, 4);
}

TEST_F(BackgroundWeightTest, HoldsWeightsAgainstAnotherModel) {
  BackgroundWeight background(model_, queue_, wake_);
  const std::shared_ptr<const Model> other = stories("stories260K-F16.gguf");
  const std::uint32_t weight = find("blk.1.ffn_up.weight");
  background.show(weight);
  until([&] { return background.known(weight) != nullptr; });
  ASSERT_TRUE(background.known(weight)->details->errors);
  EXPECT_EQ(background.known(weight)->details->errors->reference, "its int8");
  background.set_reference(other);
  background.show(weight);
  until([&] { return background.known(weight) != nullptr; });
  ASSERT_TRUE(background.known(weight)->details->errors);
  EXPECT_EQ(background.known(weight)->details->errors->reference, other->name);
  EXPECT_GT(background.known(weight)->details->errors->worst_rms, 0);
}

}  // namespace
}  // namespace qi
