"""What can go wrong at a provider: cases.jsonl, one case a line, described by meaning.

Keys of a line:
  id, about       a name, and one line for people
  means           what it amounts to: a key of grade.MEANINGS
How the provider acts it out; without any of these it answers with its dialect's own error, or with
DEFAULT_ANSWER if it means "answered":
  answer          what the model says, as in tests/support/fake_provider/answer.py
  status          instead of the dialect's usual one for this meaning
  headers         object or list of pairs; "{http+30}" and the like become moments (provider.py)
  message         instead of the usual words
  details         Gemini only: objects for error.details
  acts            a behaviour of tests/support/fake_provider/behaviour.py, taken as it is
  steps           a stream, step by step: "head", "output", "finish", "end" (the parts of a healthy
                  one), "half" (half an event), "error" or "error:FORM" (words.stream_error),
                  "say:TEXT" (an event as it is), and how it ends: "stop", "cut", "reset", "hang",
                  "garble" (provider.ENDINGS)
  request         a mistake of the caller's: "body" and "path" replace the usual ones
What holds for it beside its meaning:
  wait_s          the wait that the provider states; absent or null: it states none that counts
  statuses        instead of those that the meaning allows
  is_retried      the client waits as long as it was told and asks again; the provider is well then
Where it applies; absent: everywhere that the dialect can say it:
  provider_apis, client_apis, modes ("whole", "stream"); needs_timeout: only where it is known that
  the gateway gives up on a silent provider in time
"""

import dataclasses
import json
import pathlib
import typing

from . import words

FILE = pathlib.Path(__file__).with_name("cases.jsonl")
CLIENT_APIS = ("chat", "responses", "messages")
PROVIDER_APIS = ("openai", "anthropic", "gemini")
MODES = ("whole", "stream")
DEFAULT_ANSWER = {"text": ["Honest", " answers", " travel"]}


@dataclasses.dataclass(frozen=True)
class Case:
    id: str
    about: str
    means: str
    status: typing.Optional[int] = None
    headers: typing.Any = ()
    message: typing.Optional[str] = None
    details: typing.Any = ()
    answer: typing.Optional[dict] = None
    acts: typing.Optional[dict] = None
    steps: typing.Optional[list] = None
    request: typing.Optional[dict] = None
    wait_s: typing.Optional[float] = None
    statuses: typing.Optional[list] = None
    is_retried: bool = False
    provider_apis: typing.Any = PROVIDER_APIS
    client_apis: typing.Any = CLIENT_APIS
    modes: typing.Any = MODES
    needs_timeout: bool = False

    def applies_to(self, client_api, provider_api):
        return (
            client_api in self.client_apis
            and provider_api in self.provider_apis
            and (not self._needs_words() or words.can_say(provider_api, self.means))
        )

    def said(self):
        """What the model says in a case that means "answered"."""
        return self.answer or DEFAULT_ANSWER

    def _needs_words(self):
        """Whether the provider has to say the error in its dialect."""
        if self.steps:
            return any(step.startswith("error") for step in self.steps)
        return not self.acts and self.means not in ("answered", "callers_mistake")

    def failed_after_output(self):
        return bool(self.steps) and "output" in self.steps and self.means != "answered"


@dataclasses.dataclass(frozen=True)
class Trial:
    """One case in one mode through one pair of APIs."""

    case: Case
    client_api: str
    provider_api: str
    mode: str

    @property
    def is_stream(self):
        return self.mode == "stream"

    @property
    def id(self):
        return f"{self.client_api}-{self.provider_api}-{self.case.id}-{self.mode}"


def load():
    """All cases, in the file's order."""
    cases = []
    for line in FILE.read_text().splitlines():
        value = json.loads(line)
        headers = value.get("headers", {})
        value["headers"] = list(headers.items()) if isinstance(headers, dict) else headers
        cases.append(Case(**value))
    return cases


def trials_of(client_api, provider_api):
    """Every trial that makes sense for a client of one API and a provider of another."""
    return [
        Trial(case, client_api, provider_api, mode)
        for case in load()
        if case.applies_to(client_api, provider_api)
        for mode in (("stream",) if case.steps else case.modes)
    ]
