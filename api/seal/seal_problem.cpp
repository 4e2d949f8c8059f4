#include "api/seal/seal_problem.h"

#include <utility>

namespace skms::seal {

http::ProblemDetails WithSealErrorCode(http::ProblemDetails problem) {
  switch (problem.status) {
    case 400:
    case 403:
      problem.error_code = "04";
      break;
    case 401:
      problem.error_code = "03";
      break;
    case 404:
      problem.error_code = "02";
      break;
    case 500:
      problem.error_code = "01";
      break;
    default:
      break;
  }
  return problem;
}

http::ProblemDetails BadParameter(std::string cause, std::string param, std::string reason) {
  http::ProblemDetails problem = http::Problem(400, "Bad Request", param + " " + reason, std::move(cause));
  problem.invalid_params.push_back({std::move(param), std::move(reason)});
  return WithSealErrorCode(std::move(problem));
}

}  // namespace skms::seal
