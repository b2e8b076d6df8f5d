"""The official OpenAI SDK for Python, unmodified, pointed at the gateway."""

import openai
import pytest

MESSAGES = [{"role": "user", "content": "Say hello."}]
ENVELOPE_2005 = {"success": False, "result": [], "error": [{"code": 2005, "message": "failed"}]}


@pytest.fixture
def sdk(gateway):
    def build(max_retries=0):
        return openai.OpenAI(base_url=gateway.url(), api_key="unused", max_retries=max_retries)

    return build


def chat(client, route):
    return client.chat.completions.create(model=route.model, messages=MESSAGES)


def open_stream(client, route):
    return client.chat.completions.create(model=route.model, messages=MESSAGES, stream=True)


def text_of(stream):
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_chat(pair, sdk, dialect):
    completion = chat(sdk(), pair.route_of(dialect))

    assert completion.choices[0].message.content == "Honest answers travel"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens == 10


@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_stream(pair, sdk, dialect):
    assert text_of(open_stream(sdk(), pair.route_of(dialect))) == "Honest answers travel"


def test_stream_helper_sees_a_finished_answer(pair, sdk):
    with sdk().chat.completions.stream(model=pair.solo().model, messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].finish_reason == "stop"


@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_embedding(pair, sdk, dialect):
    answer = sdk().embeddings.create(model=pair.route_of(dialect).model, input=["one", "two"])

    assert [item.embedding for item in answer.data] == [[0.25, 0.5, 0.75]] * 2


def test_legacy_completion(pair, sdk):
    route = pair.solo()
    assert sdk().completions.create(model=route.model, prompt="x").choices[0].text
    stream = sdk().completions.create(model=route.model, prompt="x", stream=True)
    assert "".join(part.choices[0].text for part in stream) == "Honest answers travel"


def test_models(pair, sdk):
    names = [model.id for model in sdk().models.list()]
    assert "solo-0" in names
    assert sdk().models.retrieve("solo-0").id == "solo-0"


@pytest.mark.parametrize("ask", [chat, open_stream], ids=["chat", "stream"])
@pytest.mark.parametrize(
    "status, raised",
    [
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (401, openai.InternalServerError),  # the gateway's own key: not the caller's fault
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
    ],
)
def test_raises_its_own_error(pair, sdk, ask, status, raised):
    route = pair.solo()
    route.first.next(status=status)

    with pytest.raises(raised) as caught:
        ask(sdk(), route)

    assert caught.value.request_id
    assert caught.value.body["candor"]["upstream_status"] == status


@pytest.mark.parametrize("ask", [chat, open_stream], ids=["chat", "stream"])
@pytest.mark.parametrize("status", [429, 503])
def test_honours_the_wait_and_succeeds_on_its_retry(pair, sdk, ask, status):
    route = pair.solo()
    route.first.next(status=status, headers={"retry-after": "1"})

    ask(sdk(max_retries=2), route)

    first, second = route.first.attempts()
    assert second.started_at - first.started_at >= 0.99


def test_retries_a_failure_dressed_as_400(pair, sdk):
    route = pair.solo()
    route.first.next(status=400, body=ENVELOPE_2005)

    assert chat(sdk(max_retries=1), route).choices
    assert route.first.attempt_count() == 2


def test_does_not_retry_an_empty_account(pair, sdk):
    route = pair.solo()
    route.first.always(
        status=429,
        body={
            "error": {
                "message": "You exceeded your current quota, please check your plan.",
                "type": "insufficient_quota",
                "param": None,
                "code": "insufficient_quota",
            }
        },
    )

    with pytest.raises(openai.RateLimitError) as caught:
        chat(sdk(max_retries=2), route)

    assert caught.value.code == "insufficient_quota"
    assert route.first.attempt_count() == 1


def test_does_not_wait_in_process_for_hours(pair, sdk):
    route = pair.solo()
    route.first.always(status=429, headers={"retry-after": "3600"})

    with pytest.raises(openai.RateLimitError):
        chat(sdk(max_retries=2), route)

    assert route.first.attempt_count() == 1


@pytest.mark.parametrize("end", ["close", "reset", "finish", "garbage"])
def test_a_stream_that_breaks_raises(pair, sdk, end):
    route = pair.solo()
    route.first.next(cut_after_events=3, end=end, chunk_delay_ms=30)

    with pytest.raises(openai.APIError) as caught:
        text_of(open_stream(sdk(), route))

    assert caught.value.body["candor"]["kind"] == "upstream_interrupted"
