#include "gateway/io/resolver.h"

#include <utility>

#include "gateway/io/deadline.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
using boost::asio::ip::tcp;

Resolver::Endpoints WithPort(const std::vector<asio::ip::address>& addresses, uint16_t port) {
  Resolver::Endpoints endpoints;
  for (const asio::ip::address& address : addresses) endpoints.emplace_back(address, port);
  return endpoints;
}

}  // namespace

Resolver::Resolver(asio::io_context& context, const common::Clock& clock)
    : context_(context), clock_(clock), resolver_(context) {}

asio::awaitable<Resolver::Endpoints> Resolver::Resolve(std::string host, uint16_t port,
                                                       common::MonotonicTime deadline) {
  boost::system::error_code not_literal;
  const asio::ip::address literal = asio::ip::make_address(host, not_literal);
  if (!not_literal) co_return Endpoints{{literal, port}};

  const common::MonotonicTime now = clock_.Monotonic();
  const bool is_fresh = !names_[host].addresses.empty() && now - names_[host].looked_up_at < kFresh;
  if (!is_fresh) {
    if (!names_[host].is_looking_up) StartLookup(host);
    const bool has_old =
        !names_[host].addresses.empty() && now - names_[host].looked_up_at < kUsable;
    if (!has_old) co_await WaitForLookup(host, deadline);
  }
  co_return WithPort(names_[host].addresses, port);
}

void Resolver::StartLookup(const std::string& host) {
  names_[host].is_looking_up = true;
  resolver_.async_resolve(
      host, "", [this, host](boost::system::error_code error, tcp::resolver::results_type results) {
        Name& name = names_[host];
        name.is_looking_up = false;
        if (!error && !results.empty()) {
          name.addresses.clear();
          for (const auto& result : results) {
            name.addresses.push_back(result.endpoint().address());
          }
          name.looked_up_at = clock_.Monotonic();
        } else if (clock_.Monotonic() - name.looked_up_at >= kUsable) {
          name.addresses.clear();
        }
        const std::list<OneShot<bool>*> waiters = std::exchange(name.waiters, {});
        for (OneShot<bool>* waiter : waiters) waiter->Deliver(true);
      });
}

asio::awaitable<void> Resolver::WaitForLookup(const std::string& host,
                                              common::MonotonicTime deadline) {
  OneShot<bool> done;
  names_[host].waiters.push_back(&done);
  Deadline timer(context_, [&done] { done.Deliver(false); });
  timer.Set(deadline);
  co_await done.Wait();
  names_[host].waiters.remove(&done);
}

}  // namespace gateway
