// The PKCS#11 v2.40 module that applications load: forwards every call to the module named by
// SKMS_FAULT_MODULE, but for what has been ordered by SKMS_FAULT_SCRIPT or at SKMS_FAULT_CONTROL.
// docs/fault-module.md tells how to use it.
//
// Two lists of functions: `inner` is the real module's, with those replaced whose answers are translated
// (slot ids, hidden mechanisms, sessions, carelessness); `outer` is what the application gets, each asking
// the rules and the gate before it calls its inner one. Thread-safe.
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tests/fault/accidents.h"
#include "tests/fault/commands.h"
#include "tests/fault/control_socket.h"
#include "tests/fault/counters.h"
#include "tests/fault/cryptoki_functions.h"
#include "tests/fault/gate.h"
#include "tests/fault/rules.h"

namespace skms::fault {
namespace {

struct Module {
  CK_FUNCTION_LIST whole{};  ///< the real module's, without a gap
  CK_FUNCTION_LIST inner{};
  CK_FUNCTION_LIST outer{};
  CK_FUNCTION_LIST* const real = &whole;
  Rules rules;
  Gate gate;
  Counters counters;
  Accidents accidents{real, gate};
  ControlSocket control;
  std::mutex ending;  ///< a command may call the real module, which must not end under it
  std::mutex script_mutex;
  std::string script;  ///< the last one that was applied

  Commanded commanded() { return {rules, gate, accidents, counters}; }
};

/// Set once, and never destroyed: an application may call at any time of its end.
Module* module = nullptr;

std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets it meanwhile
  return value == nullptr ? "" : value;
}

void Say(const std::string& text) { std::fprintf(stderr, "skms_fault: %s\n", text.c_str()); }

// Inner: what is done once nothing forbids a call.

/// From the first C_Initialize to the end of the process, for faults are ordered and ended while the
/// application has given the module up.
void StartControl() {
  const std::string path = Environment("SKMS_FAULT_CONTROL");
  if (path != module->control.path()) module->control.Stop();
  if (path.empty()) return;
  const std::string trouble = module->control.Start(path, [](const std::string& line) {
    const std::lock_guard lock(module->ending);
    return RunCommand(module->commanded(), line);
  });
  if (!trouble.empty()) Say("no control socket: " + trouble);
}

/// Of a process that is over before anybody could ask it.
void WriteCounters() {
  const std::string path = Environment("SKMS_FAULT_COUNTERS");
  if (path.empty()) return;
  std::ofstream out(path);
  out << module->counters.Describe();
  out.close();
  if (!out) Say("no counters: " + path + " cannot be written");
}

[[gnu::destructor]] void EndControl() {
  if (module == nullptr) return;
  module->control.Stop();
  WriteCounters();
}

CK_RV Initialize(void* arguments) {
  if (const Complaint complaint = module->accidents.EndForgetting()) {
    Say("C_Initialize: " + *complaint);
    return CKR_FUNCTION_FAILED;
  }
  const CK_RV rv = module->real->C_Initialize(arguments);
  if (rv != CKR_OK) return rv;
  module->accidents.SetInitialised(true);
  StartControl();
  return rv;
}

CK_RV Finalize(void* reserved) {
  const std::lock_guard lock(module->ending);
  const CK_RV rv = module->real->C_Finalize(reserved);
  if (rv == CKR_OK) {
    module->accidents.SetInitialised(false);
    module->gate.Ended();
  }
  return rv;
}

CK_RV GetFunctionList(CK_FUNCTION_LIST** list) {
  if (list == nullptr) return CKR_ARGUMENTS_BAD;
  *list = &module->outer;
  return CKR_OK;
}

CK_RV GetSlotList(CK_BBOOL with_token, CK_SLOT_ID* slots, CK_ULONG* count) {
  if (with_token != CK_FALSE && module->gate.away()) {
    if (count == nullptr) return CKR_ARGUMENTS_BAD;
    *count = 0;
    return CKR_OK;
  }
  const CK_RV rv = module->real->C_GetSlotList(with_token, slots, count);
  if (rv == CKR_OK && slots != nullptr)
    std::for_each(slots, slots + *count, [](CK_SLOT_ID& slot) { slot += module->gate.slot_shift(); });
  return rv;
}

CK_RV WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID* slot, void* reserved) {
  const CK_RV rv = module->real->C_WaitForSlotEvent(flags, slot, reserved);
  if (rv == CKR_OK && slot != nullptr) *slot += module->gate.slot_shift();
  return rv;
}

CK_RV GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO* info) {
  const CK_RV rv = module->real->C_GetSlotInfo(slot, info);
  if (rv == CKR_OK && module->gate.away()) info->flags &= ~CK_FLAGS{CKF_TOKEN_PRESENT};
  return rv;
}

CK_RV GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE* list, CK_ULONG* count) {
  if (count == nullptr) return CKR_ARGUMENTS_BAD;
  CK_ULONG all = 0;
  CK_RV rv = module->real->C_GetMechanismList(slot, nullptr, &all);
  if (rv != CKR_OK) return rv;
  std::vector<CK_MECHANISM_TYPE> shown(all);
  rv = module->real->C_GetMechanismList(slot, shown.data(), &all);
  if (rv != CKR_OK) return rv;
  shown.resize(all);
  std::erase_if(shown, [](CK_MECHANISM_TYPE type) { return module->rules.Hidden(type); });
  const CK_ULONG room = *count;
  *count = shown.size();
  if (list == nullptr) return CKR_OK;
  if (room < shown.size()) return CKR_BUFFER_TOO_SMALL;
  std::copy(shown.begin(), shown.end(), list);
  return CKR_OK;
}

CK_RV OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void* application, CK_NOTIFY notify,
                  CK_SESSION_HANDLE* session) {
  const CK_RV rv = module->real->C_OpenSession(slot, flags, application, notify, session);
  if (rv == CKR_OK) module->gate.Opened(*session, slot);
  return rv;
}

CK_RV CloseSession(CK_SESSION_HANDLE session) {
  const CK_RV rv = module->real->C_CloseSession(session);
  if (rv == CKR_OK) module->gate.Closed(session);
  return rv;
}

CK_RV CloseAllSessions(CK_SLOT_ID slot) {
  const CK_RV rv = module->real->C_CloseAllSessions(slot);
  if (rv == CKR_OK) module->gate.ClosedAll(slot);
  return rv;
}

CK_RV GetSessionInfo(CK_SESSION_HANDLE session, CK_SESSION_INFO* info) {
  const CK_RV rv = module->real->C_GetSessionInfo(session, info);
  if (rv == CKR_OK) info->slotID += module->gate.slot_shift();
  return rv;
}

CK_RV UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with, CK_BYTE* wrapped,
                CK_ULONG size, CK_ATTRIBUTE* attributes, CK_ULONG count, CK_OBJECT_HANDLE* key) {
  std::vector<CK_ATTRIBUTE> taken;
  CK_BBOOL no = CK_FALSE;
  if (module->rules.care() != Care::kHonest && attributes != nullptr) {
    taken.assign(attributes, attributes + count);
    for (CK_ATTRIBUTE& attribute : taken) {
      if (attribute.type == CKA_SENSITIVE) attribute.pValue = &no;
    }
    attributes = taken.data();
  }
  return module->real->C_UnwrapKey(session, mechanism, with, wrapped, size, attributes, count, key);
}

CK_RV SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attributes,
                        CK_ULONG count) {
  if (module->rules.care() == Care::kNever) return CKR_OK;
  return module->real->C_SetAttributeValue(session, object, attributes, count);
}

// Outer: what the application calls.

/// Counts a call from its arrival to its end.
class Visit {
 public:
  explicit Visit(Function called) : called_(called) { module->counters.Arrived(called_); }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  ~Visit() { module->counters.Left(called_); }

 private:
  const Function called_;
};

/// Once for each script in a process: an application that finalises and initialises to recover does not bring
/// back the rules that it recovers from.
bool ApplyScript() {
  const std::string path = Environment("SKMS_FAULT_SCRIPT");
  {
    const std::lock_guard lock(module->script_mutex);
    if (path.empty() || path == module->script) return true;
    module->script = path;
  }
  const std::string trouble = RunScript(module->commanded(), path);
  if (trouble.empty()) return true;
  Say(path + ": " + trouble);
  const std::lock_guard lock(module->script_mutex);
  module->script.clear();
  return false;
}

template <class Argument>
bool NamesHidden(Argument argument) {
  if constexpr (std::is_same_v<Argument, CK_MECHANISM*>)
    return argument != nullptr && module->rules.Hidden(argument->mechanism);
  return false;
}

/// One forwarding function for each member of the list, made from the member's own type.
template <Function called, auto member>
struct Forward;

template <Function called, class First, class... Rest, CK_RV (*CK_FUNCTION_LIST::*member)(First, Rest...)>
struct Forward<called, member> {
  static CK_RV Call(First first, Rest... rest) {
    const std::uint64_t life = module->gate.life();
    const Visit visit(called);
    if (called == Function::kC_Initialize && !ApplyScript()) return CKR_ARGUMENTS_BAD;
    if (const auto refusal = Refusal(life, first, rest...)) {
      module->counters.Refused(called);
      return *refusal;
    }
    if constexpr (RowOf(called).scope == Scope::kSlot) first -= module->gate.slot_shift();
    const auto before = std::chrono::steady_clock::now();
    const CK_RV rv = (module->inner.*member)(first, rest...);
    module->counters.Spent(called, std::chrono::steady_clock::now() - before);
    module->gate.Leave(called);
    module->rules.Fill(called, before);
    return rv;
  }

  static CK_RV NotSupported(First /*first*/, Rest... /*rest*/) { return CKR_FUNCTION_NOT_SUPPORTED; }

 private:
  static std::optional<CK_RV> Refusal(std::uint64_t life, First first, Rest... rest) {
    if (const auto rv = module->rules.Pass(called)) return rv;
    if (Hidden(first, rest...)) return CKR_MECHANISM_INVALID;
    return module->gate.Enter(called, life);
  }

  static bool Hidden(First first, Rest... rest) {
    if constexpr (called == Function::kC_GetMechanismInfo)
      return module->rules.Hidden(std::get<0>(std::tuple(rest...)));
    return NamesHidden(first) || (NamesHidden(rest) || ...);
  }
};

template <Function called, auto member>
void Fill() {
  using Forwarder = Forward<called, member>;
  if (module->whole.*member == nullptr) module->whole.*member = &Forwarder::NotSupported;
  module->outer.*member = &Forwarder::Call;
}

void FillLists(const CK_FUNCTION_LIST& real) {
  module->whole = real;
  module->outer.version = real.version;
#define SKMS_FILL(name, scope) Fill<Function::k##name, &CK_FUNCTION_LIST::name>();
  SKMS_FUNCTIONS(SKMS_FILL)
#undef SKMS_FILL
  module->inner = module->whole;
}

void ReplaceTranslated(CK_FUNCTION_LIST& inner) {
  inner.C_Initialize = &Initialize;
  inner.C_Finalize = &Finalize;
  inner.C_GetFunctionList = &GetFunctionList;
  inner.C_GetSlotList = &GetSlotList;
  inner.C_WaitForSlotEvent = &WaitForSlotEvent;
  inner.C_GetSlotInfo = &GetSlotInfo;
  inner.C_GetMechanismList = &GetMechanismList;
  inner.C_OpenSession = &OpenSession;
  inner.C_CloseSession = &CloseSession;
  inner.C_CloseAllSessions = &CloseAllSessions;
  inner.C_GetSessionInfo = &GetSessionInfo;
  inner.C_UnwrapKey = &UnwrapKey;
  inner.C_SetAttributeValue = &SetAttributeValue;
}

bool Load() {
  const std::string path = Environment("SKMS_FAULT_MODULE");
  if (path.empty()) {
    Say("set SKMS_FAULT_MODULE to the PKCS#11 module to forward to");
    return false;
  }
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    Say("SKMS_FAULT_MODULE: " +
        std::string(::dlerror()));  // NOLINT(concurrency-mt-unsafe): per thread in glibc
    return false;
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* real = nullptr;
  if (get == nullptr || get(&real) != CKR_OK || real == nullptr) {
    Say("SKMS_FAULT_MODULE: " + path + " is no PKCS#11 module");
    ::dlclose(library);
    return false;
  }
  module = new Module;
  FillLists(*real);
  ReplaceTranslated(module->inner);
  return true;
}

CK_RV Loaded(CK_FUNCTION_LIST** list) {
  static std::mutex loading;
  const std::lock_guard lock(loading);
  if (module == nullptr && !Load()) return CKR_GENERAL_ERROR;
  return GetFunctionList(list);
}

}  // namespace
}  // namespace skms::fault

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** list) {
  return skms::fault::Loaded(list);
}
