"""No gateway at all: the client talks to the provider itself. What a gateway that only passes bytes
on would score, and the smallest adapter there is.
"""

from ..target import Gateway

PAIRS = [("chat", "openai"), ("responses", "openai"), ("messages", "anthropic")]


def start(setup):
    return Nothing(f"http://{setup.provider_address}")


class Nothing(Gateway):
    def headers(self, _trial):
        return {"x-api-key": "not-a-secret"}
