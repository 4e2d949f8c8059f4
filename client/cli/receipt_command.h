// skmc receipt, and what get and request do with the receipt of an answer.
#pragma once

#include "client/cli/command.h"

namespace skms::client {

/// Checks the receipt of `answer` and writes it to --receipt, where that was given. Exit code.
int KeepReceipt(KeyManagementClient& client, const KeyAnswer& answer, const Given& given);

void DescribeReceipt(Options& options);
int RunReceipt(const Given& given);

}  // namespace skms::client
