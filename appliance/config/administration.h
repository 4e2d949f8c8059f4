// The sections that say who administers this server, and from where. Internal to appliance/config.
#pragma once

#include "appliance/config/configuration.h"
#include "appliance/config/section_reader.h"

namespace skms::appliance {

/// What every TLS listener has.
void ReadListener(SectionReader& reader, ListenSection& out);
void ReadAdmin(SectionReader& reader, Configuration& out);
void ReadListenAdmin(SectionReader& reader, Configuration& out);
void ReadRoles(SectionReader& reader, Configuration& out);
void ReadApprovals(SectionReader& reader, Configuration& out);
/// Errors: kConfiguration.
Status CheckAdministration(const Configuration& configuration);

}  // namespace skms::appliance
