// The record of a request's stages: they tile the time from its first byte to the last byte of the answer.
#include "server/request_times.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "server/exchange.h"

namespace autoglm {
namespace {

std::map<std::string, double> lengths(const RequestTimes& times) {
  std::map<std::string, double> found;
  double at = times.arrived;
  for (const Stage& stage : stages_of(times)) {
    EXPECT_EQ(stage.begin, at) << stage.name;
    EXPECT_GE(stage.end, stage.begin) << stage.name;
    found[std::string(stage.name)] = stage.end - stage.begin;
    at = stage.end;
  }
  EXPECT_EQ(at, std::max(times.sent, times.arrived));
  return found;
}

using Lengths = std::map<std::string, double>;

TEST(RequestTimes, StagesTileTheWholeRequest) {
  const RequestTimes times{.arrived = 10,
                           .read = 11,
                           .taken = 12,
                           .prepared = 13,
                           .submitted = 13.5,
                           .started = 17,
                           .first_token = 22,
                           .done = 40,
                           .sent = 41};
  EXPECT_EQ(
      lengths(times),
      (Lengths{{"network", 1}, {"prepare", 2}, {"queue", 4}, {"prefill", 5}, {"decode", 18}, {"serialization", 1}}));
}

TEST(RequestTimes, WhatEndsARequestEndsTheStageItIsIn) {
  EXPECT_EQ(
      lengths({.arrived = 10, .sent = 12}),
      (Lengths{{"network", 2}, {"prepare", 0}, {"queue", 0}, {"prefill", 0}, {"decode", 0}, {"serialization", 0}}));
  const RequestTimes refused{.arrived = 10, .read = 11, .taken = 12, .done = 14, .sent = 15};
  EXPECT_EQ(lengths(refused)["prepare"], 3);
  EXPECT_EQ(lengths(refused)["serialization"], 1);
  const RequestTimes expired{.arrived = 10, .read = 11, .prepared = 12, .submitted = 12, .done = 19, .sent = 20};
  EXPECT_EQ(lengths(expired)["queue"], 7);
  const RequestTimes hung_up{
      .arrived = 10, .read = 11, .prepared = 12, .submitted = 12, .started = 13, .first_token = 14, .sent = 20};
  EXPECT_EQ(lengths(hung_up)["decode"], 6);
}

TEST(RequestTimes, OutOfOrderTimesGiveNoNegativeStage) {
  // Another choice of the request, which began later, told of its first token before the helper's time was noted.
  lengths({.arrived = 10, .read = 12, .prepared = 11, .started = 30, .first_token = 9, .done = 50, .sent = 20});
}

TEST(RequestTimes, AnExchangeNotesWhenItsRequestWasReadAndAnswered) {
  HttpRequest request;
  request.received = ServerClock::now() - std::chrono::seconds(1);
  Exchange exchange(request, 1 << 20, {}, {});
  const double read = exchange.record().times.read;
  EXPECT_GE(read - exchange.record().times.arrived, 1.0);
  EXPECT_EQ(exchange.record().times.done, 0);
  exchange.respond({.status = 400});
  EXPECT_GE(exchange.record().times.done, read);
}

}  // namespace
}  // namespace autoglm
