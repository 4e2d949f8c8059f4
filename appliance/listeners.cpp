#include "appliance/listeners.h"

#include <chrono>

namespace skms::appliance {

http::DirectOptions DirectOptionsFrom(const ListenSection& listen, const char* section) {
  http::DirectOptions options;
  options.section = section;
  options.address = listen.address;
  options.port = static_cast<int>(listen.port);
  options.certificate_path = listen.certificate;
  options.private_key_path = listen.private_key;
  options.client_ca_path = listen.client_ca;
  options.crl_path = listen.crl;
  options.max_connections = listen.max_connections;
  options.keep_alive = std::chrono::milliseconds(listen.keep_alive_ms);
  options.request_time = std::chrono::milliseconds(listen.request_time_ms);
  options.answer_time = std::chrono::milliseconds(listen.answer_time_ms);
  return options;
}

Result<std::unique_ptr<http::Transport>> RemoteAdmin(const Configuration& configuration,
                                                     http::InheritedListeners& inherited, http::Api& api) {
  if (!configuration.listen_admin.present) return std::unique_ptr<http::Transport>();
  http::DirectOptions options = DirectOptionsFrom(configuration.listen_admin.listen, "listen_admin");
  // Whatever the section says: a ceremony, a backup and the check of a long chain take as long as they take,
  // as on the socket.
  options.answer_time = std::chrono::milliseconds(0);
  options.inherited = inherited.TakeTcp(options.address, options.port);
  return http::CreateDirectTransport(options, api);
}

}  // namespace skms::appliance
