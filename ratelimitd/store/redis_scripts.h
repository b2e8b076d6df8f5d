// The Lua scripts of RedisStore. Each runs as a whole, at one moment of the server's clock.
#pragma once

#include <string_view>

namespace ratelimitd {

// KEYS: documents. ARGV: the version known of each, or "". Returns {seconds, microseconds, one item
// per document}: 0 when it is missing, 1 when it still has that version, else its fields and
// values.
inline constexpr std::string_view kLoadScript = R"lua(
local now = redis.call('TIME')
local out = {now[1], now[2]}
for i, key in ipairs(KEYS) do
  local version = redis.call('HGET', key, 'v')
  if not version then
    out[i + 2] = 0
  elseif version == ARGV[i] then
    out[i + 2] = 1
  else
    out[i + 2] = redis.call('HGETALL', key)
  end
end
return out
)lua";

// KEYS: documents. ARGV, for each: expected version or "", new version, lifetime in milliseconds,
// how many fields to set, how many to erase, the fields with their values, the fields to erase.
// Returns 1, or when a version is another one, what kLoadScript returns.
inline constexpr std::string_view kCommitScript = R"lua(
local starts, at, is_expected = {}, 1, true
for i, key in ipairs(KEYS) do
  starts[i] = at
  local version = redis.call('HGET', key, 'v')
  is_expected = is_expected and (version or '') == ARGV[at]
  at = at + 5 + 2 * tonumber(ARGV[at + 3]) + tonumber(ARGV[at + 4])
end
if not is_expected then
  local now = redis.call('TIME')
  local out = {now[1], now[2]}
  for i, key in ipairs(KEYS) do
    local version = redis.call('HGET', key, 'v')
    if not version then
      out[i + 2] = 0
    elseif version == ARGV[starts[i]] then
      out[i + 2] = 1
    else
      out[i + 2] = redis.call('HGETALL', key)
    end
  end
  return out
end
for i, key in ipairs(KEYS) do
  local start = starts[i]
  local field = start + 5
  redis.call('HSET', key, 'v', ARGV[start + 1])
  for _ = 1, tonumber(ARGV[start + 3]) do
    redis.call('HSET', key, ARGV[field], ARGV[field + 1])
    field = field + 2
  end
  for _ = 1, tonumber(ARGV[start + 4]) do
    redis.call('HDEL', key, ARGV[field])
    field = field + 1
  end
  redis.call('PEXPIRE', key, ARGV[start + 2])
end
return 1
)lua";

// KEYS: what replicas tell each other, none of it called "last". ARGV: for how many milliseconds it
// is believed, then what this one tells. Returns what all have told. Writes always, so that a
// replica of Redis refuses it.
inline constexpr std::string_view kShareScript = R"lua(
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], 'last', now)
for i = 2, #ARGV do
  redis.call('HSET', KEYS[1], ARGV[i], now)
end
local all, alive = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local age = now - tonumber(all[i + 1])
  if age > tonumber(ARGV[1]) or age < 0 then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= 'last' then
    alive[#alive + 1] = all[i]
  end
end
redis.call('PEXPIRE', KEYS[1], 2 * tonumber(ARGV[1]))
return alive
)lua";

}  // namespace ratelimitd
