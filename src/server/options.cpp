#include "server/options.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace autoglm {

ServerOptions server_options(const Settings& settings, const EngineOptions& engine) {
  ServerOptions options;
  options.host = settings.text("server.host");
  options.port = static_cast<int>(settings.integer("server.port"));
  options.http.idle_seconds = 1e-6 * static_cast<double>(settings.microseconds("server.timeout"));
  options.http.body_bytes = static_cast<size_t>(settings.bytes("server.max_body_bytes"));
  options.http.connections = settings.integer("server.max_connections");
  options.http.unsent_bytes = static_cast<size_t>(settings.bytes("server.max_unsent_bytes"));
  options.tls = {.certificate = settings.text_if("server.tls_cert").value_or(""),
                 .key = settings.text_if("server.tls_key").value_or("")};
  options.drain_seconds = 1e-6 * static_cast<double>(settings.microseconds("server.drain_timeout"));
  options.service.api_key_file = settings.text_if("server.api_key_file").value_or("");
  options.service.cors_origins = settings.list("server.cors_origin");
  options.service.access_log = settings.text_if("server.access_log").value_or("");
  options.service.most_inside = std::max<int64_t>(1, engine.max_sequences + settings.integer("server.max_queue"));
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nobody sets the environment
  const auto environment = [](const char* name) -> const char* { return std::getenv(name); };
  options.traces = trace_options(settings.text_if("server.otlp_endpoint").value_or(""), environment);
  options.signals = true;
  return options;
}

std::string served_name(const std::string& model) {
  std::filesystem::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  const bool is_path = model.find('/') != std::string::npos && model.find("://") == std::string::npos &&
                       !model.starts_with("hf:") && !model.starts_with("ms:");
  std::string name = is_path ? path.filename().string() : model;
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name.empty() ? "default" : name;
}

}  // namespace autoglm
