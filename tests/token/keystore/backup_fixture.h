// A key store that backups are made of.
#pragma once

#include <string>

#include "keystore/backup.h"
#include "tests/token/keystore/store_fixture.h"

namespace skms::keystore::test_fixture {

class BackupFixture : public StoreFixture {
 public:
  BackupOrder Order(const std::string& name = "b") const {
    BackupOrder order;
    order.path = token.directory() + "/" + name;
    order.scratch = token.directory() + "/snapshot.db";
    order.server = "skms-1";
    order.version = "1.0";
    return order;
  }
  BackupOrder OrderWithDamage() const {
    BackupOrder order = Order();
    order.with_damage = true;
    return order;
  }
  std::string restored() const { return token.directory() + "/restored.db"; }
  Result<BackupContents> Open(const std::string& name = "b") {
    return OpenBackup(Order(name).path, restored(), *module);
  }
  std::string LastEntry() const {
    return Text("SELECT action || ' ' || reason FROM audit ORDER BY seq DESC LIMIT 1");
  }
};

}  // namespace skms::keystore::test_fixture
