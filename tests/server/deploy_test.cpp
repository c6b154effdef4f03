// deploy/ agrees with the server: every metric that the dashboard and the alerts name is one that /metrics has, and the
// files are what their readers expect.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <regex>
#include <set>

#include "base/ledger.h"
#include "server/test_server.h"
#include "support/read_file.h"

namespace autoglm {
namespace {

using nlohmann::json;
using test::Client;
using test::TestServer;

const std::filesystem::path& folder() {
  static const std::filesystem::path path = std::filesystem::path(AUTOGLM_SOURCE_DIR) / "deploy";
  return path;
}

std::set<std::string> metrics_in(const std::string& text) {
  static const std::regex name("(?:vllm|autoglm):[a-z0-9_]+");
  return {std::sregex_token_iterator(text.begin(), text.end(), name), {}};
}

/// /metrics of a server to which everything has happened that has a metric of its own.
std::set<std::string> metrics_there_are() {
  Ledger ledger(0);
  TestServer server;
  server.served().ledger = &ledger;
  Client client = server.client();
  EXPECT_EQ(client.post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 3}}).status, 200);
  EXPECT_EQ(client.post("/v1/completions", {{"prompt", 1.5}}).status, 400);
  return metrics_in(client.get("/metrics").body);
}

TEST(Deploy, EveryMetricOfTheDashboardAndTheAlertsExists) {
  const std::set<std::string> known = metrics_there_are();
  for (const char* file : {"grafana/autoglm.json", "prometheus/alerts.yaml"}) {
    const std::set<std::string> used = metrics_in(test::read_file(folder() / file));
    EXPECT_GE(used.size(), 7u) << file;
    for (const std::string& name : used) EXPECT_TRUE(known.contains(name)) << name << " in " << file;
  }
}

TEST(Metrics, HaveEachStageOfARequest) {
  TestServer server;
  Client client = server.client();
  ASSERT_EQ(client.post("/v1/completions", {{"prompt", "abc"}, {"max_tokens", 3}}).status, 200);
  const std::string text = client.get("/metrics").body;
  for (const char* stage : {"network", "prepare", "queue", "prefill", "decode", "serialization"}) {
    EXPECT_NE(text.find(std::string("autoglm:stage_seconds_count{model_name=\"default\",stage=\"") + stage + "\"} 1\n"),
              std::string::npos)
        << stage;
  }
}

TEST(Deploy, TheDashboardIsWhole) {
  const json dashboard = json::parse(test::read_file(folder() / "grafana/autoglm.json"));
  EXPECT_EQ(dashboard["uid"], "autoglm");
  std::set<int> ids;
  size_t queries = 0;
  for (const json& panel : dashboard["panels"]) {
    EXPECT_TRUE(ids.insert(panel["id"].get<int>()).second) << panel["title"];
    if (panel["type"] == "row") continue;
    EXPECT_FALSE(panel["targets"].empty()) << panel["title"];
    for (const json& target : panel["targets"]) {
      ++queries;
      const auto text = target["expr"].get<std::string>();
      EXPECT_EQ(std::ranges::count(text, '('), std::ranges::count(text, ')')) << text;
      EXPECT_NE(text.find("$instance"), std::string::npos) << text;
    }
  }
  EXPECT_GE(queries, 30u);
}

TEST(Deploy, AlertsHaveWhatPrometheusAsksFor) {
  const YAML::Node file = YAML::LoadFile(folder() / "prometheus/alerts.yaml");
  std::set<std::string> names;
  for (const YAML::Node& rule : file["groups"][0]["rules"]) {
    EXPECT_TRUE(names.insert(rule["alert"].as<std::string>()).second);
    EXPECT_FALSE(rule["expr"].as<std::string>().empty());
    EXPECT_TRUE(rule["labels"]["severity"]);
    EXPECT_TRUE(rule["annotations"]["summary"]);
  }
  EXPECT_GE(names.size(), 8u);
}

TEST(Deploy, KubernetesProbesHealthAndSetsLimits) {
  std::set<std::string> kinds;
  for (const YAML::Node& document : YAML::LoadAllFromFile(folder() / "kubernetes.yaml")) {
    kinds.insert(document["kind"].as<std::string>());
    EXPECT_TRUE(document["apiVersion"]);
    EXPECT_TRUE(document["metadata"]["name"]);
    if (document["kind"].as<std::string>() != "Deployment") continue;
    const YAML::Node container = document["spec"]["template"]["spec"]["containers"][0];
    for (const char* probe : {"startupProbe", "readinessProbe", "livenessProbe"}) {
      EXPECT_EQ(container[probe]["httpGet"]["path"].as<std::string>(), "/health") << probe;
    }
    EXPECT_TRUE(container["resources"]["limits"]["memory"]);
    EXPECT_TRUE(container["resources"]["limits"]["cpu"]);
  }
  EXPECT_THAT(kinds, testing::IsSupersetOf({"Deployment", "Service", "PersistentVolumeClaim"}));
}

TEST(Deploy, ComposeMountsFilesThatExist) {
  const YAML::Node compose = YAML::LoadFile(folder() / "compose.yaml");
  int mounted = 0;
  for (const auto& service : compose["services"]) {
    for (const YAML::Node& volume : service.second["volumes"]) {
      const auto text = volume.as<std::string>();
      const std::string source = text.substr(0, text.find(':'));
      if (!source.starts_with("./")) {
        EXPECT_TRUE(compose["volumes"].IsMap() && compose["volumes"][source].IsDefined()) << source;
        continue;
      }
      ++mounted;
      EXPECT_TRUE(std::filesystem::exists(folder() / source)) << source;
    }
  }
  EXPECT_EQ(mounted, 3);
  const YAML::Node prometheus = YAML::LoadFile(folder() / "prometheus/prometheus.yaml");
  EXPECT_EQ(prometheus["rule_files"][0].as<std::string>(), "alerts.yaml");
}

}  // namespace
}  // namespace autoglm
