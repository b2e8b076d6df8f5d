// How to reach a Redis. Plain values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/secret.h"

namespace ratelimitd {

struct RedisAddress {
  std::string host;
  std::string port;
  bool operator==(const RedisAddress&) const = default;
};

struct RedisSettings {
  RedisAddress address{"127.0.0.1", "6379"};  // without sentinels
  std::string username;                       // empty: the default user
  common::Secret password;
  int database = 0;
  bool is_tls = false;
  std::string ca_file;          // PEM; empty: the system's authorities
  std::string tls_server_name;  // expected in the certificate; empty: the host's name
  // When there are any, they say where the master is, under its name there.
  std::vector<RedisAddress> sentinels;
  std::string sentinel_master = "candor";
  common::Secret sentinel_password;
  // Of every key. All keys have one hash tag, since scripts touch several of them.
  std::string prefix = "candor";
  std::chrono::milliseconds timeout{50};  // of one round trip
  bool operator==(const RedisSettings&) const = default;
};

}  // namespace ratelimitd
