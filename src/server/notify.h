// Telling systemd how the service is (sd_notify's protocol, Type=notify).
#pragma once

#include <string_view>

namespace autoglm {

/// "READY=1", "STOPPING=1", ... to NOTIFY_SOCKET, if there is one.
void notify_service_manager(std::string_view state);

}  // namespace autoglm
