// The yardstick: the bare PKCS#11 calls of one delivery (unwrap, OAEP to RSA-3072, destroy) and of one
// creation (generate, wrap, destroy) in closed loops, one session a thread, on the token the daemon uses.
//
// Prints one JSON object a run. The PIN comes from a file.
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <sys/resource.h>

#include <boost/program_options.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "bench/latency.h"

namespace {

namespace po = boost::program_options;
using skms::Bytes;
using skms::bench::Sample;
using skms::bench::SteadyClock;

void Must(const char* function, CK_RV rv) {
  if (rv == CKR_OK) return;
  std::cerr << "skms_bench_raw_token: " << function << ": 0x" << std::hex << rv << '\n';
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): a yardstick that fails has nothing to tidy
}

CK_FUNCTION_LIST* LoadModule(const std::string& path, std::string init_args) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::cerr << "skms_bench_raw_token: " << ::dlerror() << '\n';  // NOLINT(concurrency-mt-unsafe)
    std::exit(1);  // NOLINT(concurrency-mt-unsafe): a yardstick that fails has nothing to tidy
  }
  const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* functions = nullptr;
  Must("C_GetFunctionList", get(&functions));
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  if (!init_args.empty()) arguments.pReserved = init_args.data();
  Must("C_Initialize", functions->C_Initialize(&arguments));
  return functions;
}

CK_SLOT_ID FindSlot(CK_FUNCTION_LIST* p11, const std::string& label) {
  CK_ULONG count = 0;
  Must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, nullptr, &count));
  std::vector<CK_SLOT_ID> slots(count);
  Must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots.data(), &count));
  for (const CK_SLOT_ID slot : slots) {
    CK_TOKEN_INFO info{};
    if (p11->C_GetTokenInfo(slot, &info) != CKR_OK) continue;
    std::string name(reinterpret_cast<const char*>(info.label), sizeof info.label);
    name.erase(name.find_last_not_of(' ') + 1);
    if (name == label) return slot;
  }
  std::cerr << "skms_bench_raw_token: no token '" << label << "'\n";
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): a yardstick that fails has nothing to tidy
}

CK_OBJECT_HANDLE FindKek(CK_FUNCTION_LIST* p11, CK_SESSION_HANDLE session) {
  char label[] = "skms-kek-1";
  CK_ATTRIBUTE search[] = {{CKA_LABEL, label, sizeof label - 1}};
  Must("C_FindObjectsInit", p11->C_FindObjectsInit(session, search, 1));
  CK_OBJECT_HANDLE kek = 0;
  CK_ULONG found = 0;
  Must("C_FindObjects", p11->C_FindObjects(session, &kek, 1, &found));
  Must("C_FindObjectsFinal", p11->C_FindObjectsFinal(session));
  if (found != 1) Must("find skms-kek-1", CKR_OBJECT_HANDLE_INVALID);
  return kek;
}

CK_OBJECT_HANDLE ImportRsa3072(CK_FUNCTION_LIST* p11, CK_SESSION_HANDLE session) {
  EVP_PKEY* key = EVP_RSA_gen(3072);
  BIGNUM* n = nullptr;
  EVP_PKEY_get_bn_param(key, "n", &n);
  Bytes modulus(384);
  BN_bn2binpad(n, modulus.data(), static_cast<int>(modulus.size()));
  BN_free(n);
  EVP_PKEY_free(key);
  CK_BYTE exponent[] = {1, 0, 1};
  CK_OBJECT_CLASS object_class = CKO_PUBLIC_KEY;
  CK_KEY_TYPE type = CKK_RSA;
  CK_BBOOL yes = CK_TRUE;
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &object_class, sizeof object_class},
                               {CKA_KEY_TYPE, &type, sizeof type},
                               {CKA_TOKEN, &no, sizeof no},
                               {CKA_WRAP, &yes, sizeof yes},
                               {CKA_MODULUS, modulus.data(), modulus.size()},
                               {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
  CK_OBJECT_HANDLE handle = 0;
  Must("C_CreateObject", p11->C_CreateObject(session, attributes, 6, &handle));
  return handle;
}

/// One thread's session and the objects its loop uses.
class Worker {
 public:
  Worker(CK_FUNCTION_LIST* p11, CK_SLOT_ID slot, CK_MECHANISM_TYPE kwp, bool oaep_sha256,
         CK_OBJECT_HANDLE recipient)
      : p11_(p11), kwp_{kwp, nullptr, 0}, recipient_(recipient) {
    if (oaep_sha256) oaep_ = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, nullptr, 0};
    Must("C_OpenSession",
         p11_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_));
    kek_ = FindKek(p11_, session_);
    wrapped_ = Create();
  }

  Bytes Create() {
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_ULONG length = 32;
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &object_class, sizeof object_class},
                                 {CKA_TOKEN, &no_, sizeof no_},
                                 {CKA_SENSITIVE, &yes_, sizeof yes_},
                                 {CKA_EXTRACTABLE, &yes_, sizeof yes_},
                                 {CKA_VALUE_LEN, &length, sizeof length}};
    CK_MECHANISM generate{CKM_AES_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE key = 0;
    Must("C_GenerateKey", p11_->C_GenerateKey(session_, &generate, attributes, 5, &key));
    Bytes wrapped = Wrap(&kwp_, kek_, key);
    Must("C_DestroyObject", p11_->C_DestroyObject(session_, key));
    return wrapped;
  }

  void Deliver() {
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &object_class, sizeof object_class},
                                 {CKA_KEY_TYPE, &type, sizeof type},
                                 {CKA_TOKEN, &no_, sizeof no_},
                                 {CKA_SENSITIVE, &yes_, sizeof yes_},
                                 {CKA_EXTRACTABLE, &yes_, sizeof yes_}};
    CK_OBJECT_HANDLE key = 0;
    Must("C_UnwrapKey",
         p11_->C_UnwrapKey(session_, &kwp_, kek_, wrapped_.data(), wrapped_.size(), attributes, 5, &key));
    CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, &oaep_, sizeof oaep_};
    Wrap(&mechanism, recipient_, key);
    Must("C_DestroyObject", p11_->C_DestroyObject(session_, key));
  }

 private:
  Bytes Wrap(CK_MECHANISM* mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key) {
    Bytes out(512);
    CK_ULONG size = out.size();
    Must("C_WrapKey", p11_->C_WrapKey(session_, mechanism, with, key, out.data(), &size));
    out.resize(size);
    return out;
  }

  CK_FUNCTION_LIST* p11_;
  CK_MECHANISM kwp_;
  CK_RSA_PKCS_OAEP_PARAMS oaep_{CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, nullptr, 0};
  CK_OBJECT_HANDLE recipient_;
  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE kek_ = 0;
  CK_BBOOL yes_ = CK_TRUE;
  CK_BBOOL no_ = CK_FALSE;
  Bytes wrapped_;
};

/// User and system time of this process, all threads.
double CpuMicroseconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

std::string Measure(std::vector<Worker>& workers, double seconds,
                    const std::function<void(Worker&)>& operation) {
  std::vector<Sample> samples(workers.size());
  std::vector<std::thread> threads;
  const double cpu_before = CpuMicroseconds();
  const auto begin = SteadyClock::now();
  const auto end =
      begin + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
  for (std::size_t i = 0; i < workers.size(); ++i) {
    threads.emplace_back([&, i] {
      for (auto before = SteadyClock::now(); before < end;) {
        operation(workers[i]);
        const auto after = SteadyClock::now();
        samples[i].microseconds.push_back(std::chrono::duration<double, std::micro>(after - before).count());
        before = after;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double cpu = CpuMicroseconds() - cpu_before;
  std::size_t operations = 0;
  for (const Sample& sample : samples) operations += sample.microseconds.size();
  std::string report = Report(samples, std::chrono::duration<double>(SteadyClock::now() - begin).count());
  report.pop_back();
  return report + ",\"cpu_us\":" + std::to_string(cpu / static_cast<double>(operations)) + "}";
}

int Run(int argc, char** argv) {
  std::string module;
  std::string init_args;
  std::string label;
  std::string pin_file;
  std::string what;
  std::size_t threads = 1;
  double seconds = 2;
  unsigned long kwp = CKM_AES_KEY_WRAP_PAD;
  po::options_description options("Options");
  options.add_options()("module", po::value(&module)->required())("label", po::value(&label)->required())(
      "pin-file", po::value(&pin_file)->required())("operation", po::value(&what)->required(),
                                                    "deliver or create")("threads", po::value(&threads))(
      "seconds", po::value(&seconds))("kwp-mechanism", po::value(&kwp))("init-args", po::value(&init_args),
                                                                        "parameter string for C_Initialize")(
      "oaep-sha256", "OAEP with SHA-256 instead of SHA-1");
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, options), given);
  po::notify(given);

  auto pin = skms::ReadSecretFile(pin_file);
  if (pin.has_error()) {
    std::cerr << "skms_bench_raw_token: " << pin.error().detail << '\n';
    return 1;
  }
  CK_FUNCTION_LIST* p11 = LoadModule(module, init_args);
  const CK_SLOT_ID slot = FindSlot(p11, label);
  CK_SESSION_HANDLE anchor = 0;
  Must("C_OpenSession",
       p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &anchor));
  Must("C_Login", p11->C_Login(anchor, CKU_USER, pin.value().ExposeForWriting().data(), pin.value().size()));
  const CK_OBJECT_HANDLE recipient = ImportRsa3072(p11, anchor);
  std::vector<Worker> workers;
  for (std::size_t i = 0; i < threads; ++i)
    workers.emplace_back(p11, slot, kwp, given.count("oaep-sha256") > 0, recipient);
  const bool create = what == "create";
  std::cout << Measure(workers, seconds, [create](Worker& worker) {
    if (create) {
      worker.Create();
    } else {
      worker.Deliver();
    }
  }) << '\n';
  Must("C_Finalize", p11->C_Finalize(nullptr));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "skms_bench_raw_token: " << error.what() << '\n';
    return 2;
  }
}
