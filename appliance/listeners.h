// The configuration's TLS listeners as transports.
#pragma once

#include <memory>

#include "api/http/inherited_listeners.h"
#include "api/http/transport.h"
#include "appliance/config/configuration.h"
#include "base/result.h"

namespace skms::appliance {

/// `section` is named in errors.
http::DirectOptions DirectOptionsFrom(const ListenSection& listen, const char* section);

/// The administrators' TLS port; nullptr where it is not opened. `api` must outlive it. Errors: as
/// http::CreateDirectTransport.
Result<std::unique_ptr<http::Transport>> RemoteAdmin(const Configuration& configuration,
                                                     http::InheritedListeners& inherited, http::Api& api);

}  // namespace skms::appliance
