"""Runs trials one after the other: tells the provider what to do, asks the gateway, judges."""

import dataclasses
import json
import time
import typing

from . import client_apis, grade, raw_client
from .cases import Trial
from .target import CannotGrade

DEADLINE_S = 15.0
SLACK_S = 15.0  # beyond the time after which the gateway gives up on a silent provider


@dataclasses.dataclass
class Result:
    trial: Trial
    verdict: typing.Optional[grade.Verdict]  # None: not graded, the gateway's timeout is unknown


class Runner:
    """Grades one gateway whose provider is `provider` (a ProviderThread)."""

    def __init__(self, gateway, provider):
        self._gateway = gateway
        self._provider = provider

    def run(self, trial):
        """The Result of one trial."""
        if trial.case.needs_timeout and self._gateway.waits_for_provider_s is None:
            return Result(trial, None)
        self._provider.case = trial.case
        try:
            reply = self._ask(trial)
        finally:
            self._provider.case = None
        assert not self._provider.trouble, self._provider.trouble
        verdict = grade.judge(trial, reply)
        if trial.case.is_retried and verdict.is_kept():
            verdict = self._retry(trial, grade.longest_told_wait_s(reply), verdict)
        return Result(trial, verdict)

    def check_reachable(self, client_api):
        """Raises CannotGrade when a healthy provider's answer does not come through."""
        asked_before = self._provider.asked.count
        api = client_apis.APIS[client_api]
        reply = self._post(api, api.path, api.request(self._gateway.model(None), False), None)
        where = f"POST {self._gateway.base_url}{api.path}"
        if reply.status is None:
            raise CannotGrade(f"{where}: {reply.trouble or 'no answer'}. Is the gateway running?")
        if self._provider.asked.count == asked_before:
            raise CannotGrade(
                f"{where} answered {reply.status} without asking the suite's provider. Configure"
                f" the gateway's provider as http://{self._provider.address}/v1 (without /v1 for"
                f" Anthropic and Gemini).\nIt said: {reply.text()[:500]}"
            )
        if reply.status != 200:
            raise CannotGrade(
                f"{where}: the provider gave a healthy answer and the gateway answered"
                f" {reply.status}. Its API key goes into --header, its model into --model.\n"
                f"It said: {reply.text()[:500]}"
            )

    def _retry(self, trial, wait_s, verdict):
        """The verdict once the told wait is over and the provider is well again."""
        time.sleep(wait_s)
        reply = self._ask(trial)
        if reply.status == 200:
            return verdict
        why = f"after the told wait of {wait_s:g} s the next attempt got {reply.status}"
        return grade.Verdict({**verdict.reasons, "P3": why}, verdict.seen)

    def _ask(self, trial):
        api = client_apis.APIS[trial.client_api]
        mistake = trial.case.request or {}
        body = mistake.get("body", api.request(self._gateway.model(trial), trial.is_stream))
        deadline_s = DEADLINE_S
        if trial.case.needs_timeout:
            deadline_s = self._gateway.waits_for_provider_s + SLACK_S
        return self._post(api, mistake.get("path", api.path), body, trial, deadline_s)

    def _post(self, api, path, body, trial, deadline_s=DEADLINE_S):
        payload = body if isinstance(body, str) else json.dumps(body)
        own = self._gateway.headers(trial)
        headers = {"content-type": "application/json", **api.headers(), **own}
        return raw_client.post(self._gateway.base_url, path, payload.encode(), headers, deadline_s)
