// The control socket, the script, and the command-line client of the fault module.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/token/fault/fault_fixture.h"

namespace skms::test {
namespace {

struct Run {
  int code = -1;
  std::string out;
};

Run Client(const std::string& arguments) {
  Run run;
  FILE* pipe = ::popen(("/usr/bin/python3 " SKMS_FAULT_CLIENT " " + arguments + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (int octet; (octet = std::fgetc(pipe)) != EOF;) run.out += static_cast<char>(octet);
  run.code = WEXITSTATUS(::pclose(pipe));
  return run;
}

TEST_CASE("the socket is its owner's alone, and outlives C_Finalize") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  struct stat info {};
  REQUIRE(::lstat(token.control().c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Order("help") == "ok");
  CHECK(token.Order("drop-sessions") ==
        "error drop-sessions: the application has not called C_Initialize; try again when it has");
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Order("drop-sessions") == "ok");
}

TEST_CASE("rules outlive C_Finalize, so that a recovery can be watched") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  CHECK(token.Order("fail C_OpenSession CKR_DEVICE_ERROR") == "ok");
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Initialise() == CKR_OK);
  CK_SESSION_HANDLE session = CK_INVALID_HANDLE;
  CHECK(token.Open(session) == CKR_DEVICE_ERROR);
}

TEST_CASE("a refused C_Finalize leaves the socket") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  CHECK(token.Order("fail C_Finalize CKR_GENERAL_ERROR times 1") == "ok");
  CHECK(token->C_Finalize(nullptr) == CKR_GENERAL_ERROR);
  CHECK(token.Order("help") == "ok");
  int reserved = 0;  // which SoftHSM refuses
  CHECK(token->C_Finalize(&reserved) == CKR_ARGUMENTS_BAD);
  CHECK(token.Order("help") == "ok");
}

TEST_CASE("a socket that a dead process left is replaced; a file is not") {
  const FaultedToken token(FaultedToken::Start::kLoaded);
  std::ofstream(token.control()) << "precious";
  CHECK(token.Initialise() == CKR_OK);  // without a socket, and says so
  CHECK(std::filesystem::is_regular_file(token.control()));
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  std::filesystem::remove(token.control());
  const std::string bind =
      "/usr/bin/python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('" + token.control() + "')\"";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the case has no threads
  REQUIRE(std::system(bind.c_str()) == 0);
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Order("help") == "ok");
}

TEST_CASE("what cannot be understood is answered with what to do") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  for (const char* wrong : {"fial C_Sign CKR_DEVICE_ERROR",
                            "fail",
                            "fail C_Sign",
                            "fail C_Sing CKR_DEVICE_ERROR",
                            "fail C_Sign CKR_NO",
                            "fail C_Sign 30",
                            "fail C_Sign 0xZZ",
                            "fail C_Sign CKR_DEVICE_ERROR times",
                            "fail C_Sign CKR_DEVICE_ERROR times 0",
                            "fail C_Sign CKR_DEVICE_ERROR after -1",
                            "fail C_Sign CKR_DEVICE_ERROR sometimes 1",
                            "delay C_Sign",
                            "delay C_Sign soon",
                            "delay C_Sign 99999999999999999999",
                            "delay C_Sign 5 after 1",
                            "pace C_Sign",
                            "careless",
                            "careless at once",
                            "hang * 99999",
                            "hide",
                            "hide CKM_NO",
                            "hide GCM",
                            "away",
                            "away 1 +2",
                            "away 1 slot 2",
                            "away 1 slot +x",
                            "slots",
                            "slots many",
                            "clear all",
                            "drop-sessions now",
                            "counters C_Sign"}) {
    CAPTURE(wrong);
    CHECK(token.Order(wrong).compare(0, 6, "error ") == 0);
  }
  CHECK(token.Lines("rules").empty());
  CHECK(token.Order("") == "ok");
  CHECK(token.Order("# a remark") == "ok");
  CHECK(token.Order("fail C_Sing CKR_DEVICE_ERROR").find("C_Sing") != std::string::npos);
}

TEST_CASE("help names every command") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  std::string all;
  for (const std::string& line : token.Lines("help")) all += line + '\n';
  for (const char* name : {"fail ", "delay ", "pace ", "hang ", "hide ", "drop-sessions ", "logout ", "away ",
                           "slots ", "careless ", "forget ", "counters ", "rules ", "clear ", "help "}) {
    CAPTURE(name);
    CHECK(all.find(name) != std::string::npos);
  }
}

TEST_CASE("several clients are served, one that sends no end of a line is not for long") {
  const FaultedToken token(FaultedToken::Start::kInitialised);
  const ControlClient idle(token.control());
  const ControlClient endless(token.control());
  CHECK(token.Order("help") == "ok");
  CHECK(endless.Send(std::string(5000, 'x')));
  CHECK(endless.Answer() == "error write shorter lines");
  CHECK(endless.Answer().empty());
  CHECK(idle.Run("fail C_Sign CKR_DEVICE_ERROR") == "ok");
  CHECK(idle.Run("clear") == "ok");
}

TEST_CASE("a script is in force from C_Initialize on, once") {
  const FaultedToken token(FaultedToken::Start::kLoaded,
                           "# the token is not there at first\n\n"
                           "fail C_Initialize CKR_DEVICE_ERROR times 1\nhide CKM_AES_GCM\n");
  CHECK(token.Initialise() == CKR_DEVICE_ERROR);
  CHECK(token.Initialise() == CKR_OK);
  CK_MECHANISM_INFO info{};
  CHECK(token->C_GetMechanismInfo(token.Slot(), CKM_AES_GCM, &info) == CKR_MECHANISM_INVALID);
  CHECK(token.Order("clear") == "ok");
  CHECK(token->C_Finalize(nullptr) == CKR_OK);
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token->C_GetMechanismInfo(token.Slot(), CKM_AES_GCM, &info) == CKR_OK);
}

TEST_CASE("a script with a mistake is refused as a whole, and its line is named") {
  const FaultedToken token(FaultedToken::Start::kLoaded, "hide CKM_AES_GCM\nhide CKM_AES_GCN\n");
  const std::string said = token.directory() + "/stderr";
  std::fflush(stderr);
  const int saved = ::dup(2);
  REQUIRE(std::freopen(said.c_str(), "w", stderr) != nullptr);
  CHECK(token.Initialise() == CKR_ARGUMENTS_BAD);
  std::fflush(stderr);
  ::dup2(saved, 2);
  ::close(saved);
  std::string text;
  std::getline(std::ifstream(said), text);
  CHECK(text.find("script: line 2: hide: ") != std::string::npos);
  CHECK(text.find("CKM_AES_GCN") != std::string::npos);
  // Mended, it is taken.
  std::ofstream(token.directory() + "/script") << "slots 1\n";
  CHECK(token.Initialise() == CKR_OK);
  CHECK(token.Lines("rules").empty());
}

TEST_CASE("a script cannot order what needs a module that is in use") {
  const FaultedToken token(FaultedToken::Start::kLoaded, "away 0\n");
  for (const char* early : {"drop-sessions", "logout", "forget"}) {
    CAPTURE(early);
    std::ofstream(token.directory() + "/script") << early << '\n';
    CHECK(token.Initialise() == CKR_ARGUMENTS_BAD);
  }
  std::ofstream(token.directory() + "/script") << "away 600\n";
  CHECK(token.Initialise() == CKR_OK);
  CK_ULONG count = 1;
  CHECK(token->C_GetSlotList(CK_TRUE, nullptr, &count) == CKR_OK);
  CHECK(count == 0);
}

TEST_CASE("the command-line client prints answers and tells errors by its exit code") {
  const FaultedToken token;
  CHECK(Client(token.control() + " fail C_GenerateRandom CKR_DEVICE_ERROR times 1").code == 0);
  CHECK(token.Random(token.session) == CKR_DEVICE_ERROR);
  const Run counters = Client(token.control() + " counters");
  CHECK(counters.code == 0);
  CHECK(counters.out.find("C_GenerateRandom ") != std::string::npos);
  CHECK(counters.out.find("finalize-under-call: ") != std::string::npos);
  const Run wrong = Client(token.control() + " hide NOTHING");
  CHECK(wrong.code == 1);
  CHECK(wrong.out.compare(0, 11, "error hide:") == 0);
  const Run nobody = Client(token.directory() + "/nothing counters");
  CHECK(nobody.code == 1);
  CHECK(nobody.out.find("SKMS_FAULT_CONTROL") != std::string::npos);
  CHECK(Client("--help").out.find("Exit code 1") != std::string::npos);
}

}  // namespace
}  // namespace skms::test
