#include "gateway/dialects/dialect.h"

#include <array>

#include "gateway/dialects/azure.h"
#include "gateway/dialects/openai.h"

namespace gateway {
namespace {

// The one explicit list. Dialects have no state, so they may be constants.
std::array<const Dialect*, 2> AllDialects() {
  static const OpenAiDialect openai;
  static const AzureDialect azure;
  return {&openai, &azure};
}

}  // namespace

const Dialect* FindDialect(std::string_view name) {
  for (const Dialect* dialect : AllDialects()) {
    if (dialect->name() == name) return dialect;
  }
  return nullptr;
}

std::vector<std::string_view> DialectNames() {
  std::vector<std::string_view> names;
  for (const Dialect* dialect : AllDialects()) names.push_back(dialect->name());
  return names;
}

}  // namespace gateway
