// The web page: `/` and the files under `/page/`. Nothing outside this server is ever loaded.
//
// Where keys are set, these routes need one as every other does. A browser that opens `/` without one is told 401, and
// the body of that answer is a page that asks for the key, keeps it in the tab's sessionStorage, fetches the files with
// it and runs them.
#pragma once

#include <optional>
#include <string_view>

#include "server/api/api.h"
#include "server/http_message.h"

namespace autoglm {

bool is_page(std::string_view path);

/// GET or HEAD of a path for which is_page() holds.
HttpResponse page_response(const HttpRequest& request, const Served& served);

/// The 401 of `/` for a browser that shows pages; nothing for everybody else.
std::optional<HttpResponse> key_page(const HttpRequest& request);

}  // namespace autoglm
