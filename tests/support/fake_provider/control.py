"""The control port: plain HTTP and JSON.

POST   /rules      a rule or a list of rules (behaviour.Scripts.add)
DELETE /rules      healthy again
GET    /attempts   {"count": of all so far, "attempts": [...]}; ?provider=NAME selects
DELETE /attempts   forgets them
PUT    /release    {"provider": NAME}: what holds goes on
PUT    /tls        {"mode": "refuse" | "reset" | "stall"}: what the broken TLS port does
GET    /healthz    ok
"""

import json
import urllib.parse

import behaviour
import wire


class Control:
    def __init__(self, scripts, attempts, holds, broken_tls):
        self._scripts = scripts
        self._attempts = attempts
        self._holds = holds
        self._broken_tls = broken_tls

    async def serve(self, reader, writer):
        """One accepted connection. For asyncio.start_server."""
        incoming, outgoing = wire.Incoming(reader), wire.Outgoing(writer)
        try:
            while (request := await incoming.read_request()) is not None:
                status, value = self._answer(request)
                body = json.dumps(value).encode()
                headers = [("content-type", "application/json"), ("content-length", len(body))]
                await outgoing.send(wire.render_head(status, headers) + body)
        except (wire.BadRequest, ConnectionError):
            pass
        finally:
            outgoing.close()

    def _answer(self, request):
        url = urllib.parse.urlsplit(request.target)
        try:
            return 200, self._carry_out(request.method, url, request.body)
        except KeyError:
            return 404, {"error": f"no {request.method} {url.path}; see control.py"}
        except ValueError as error:
            return 400, {"error": str(error)}

    def _carry_out(self, method, url, body):
        verbs = {
            ("POST", "/rules"): lambda: self._add_rules(json.loads(body)),
            ("DELETE", "/rules"): self._scripts.clear,
            ("GET", "/attempts"): lambda: self._list(urllib.parse.parse_qs(url.query)),
            ("DELETE", "/attempts"): self._attempts.clear,
            ("PUT", "/release"): lambda: self._holds.release(json.loads(body).get("provider")),
            ("PUT", "/tls"): lambda: self._broken_tls.set_mode(json.loads(body).get("mode")),
            ("GET", "/healthz"): lambda: "ok",
        }
        return verbs[method, url.path]()

    def _add_rules(self, value):
        load_rules(self._scripts, value)

    def _list(self, query):
        provider = query.get("provider", [None])[0]
        return {"count": self._attempts.count, "attempts": self._attempts.listed(provider)}


def load_rules(scripts, value):
    """Adds one rule or a list of them. Raises behaviour.ScriptError."""
    for rule in value if isinstance(value, list) else [value]:
        try:
            scripts.add(rule)
        except TypeError as error:
            raise behaviour.ScriptError(str(error)) from None
