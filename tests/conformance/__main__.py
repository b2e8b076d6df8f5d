"""Grades a gateway by three promises: a 2xx means that the model answered; the status tells whose
fault it was; a wait that is told is true. The suite plays the provider and the client.

  scripts/conformance --adapter candor
  scripts/conformance --target http://127.0.0.1:4000 --provider-listen 127.0.0.1:9911 \\
                      --header 'Authorization: Bearer KEY' --model any-model-of-yours

With --target the gateway is yours: its provider's base URL has to be the address that the suite
prints. Exit status: 0 all promises kept, 1 some broken, 2 the target cannot be graded.
tests/conformance/README.md tells more.
"""

import argparse
import json
import pathlib
import sys
import tempfile

from . import report
from .cases import CLIENT_APIS, PROVIDER_APIS, trials_of
from .provider import ProviderThread
from .runner import Runner
from .target import CannotGrade, GivenGateway, Setup, load_adapter


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--target", metavar="URL", help="of a running gateway, before /v1")
    add("--adapter", metavar="NAME", help="starts a gateway: candor, portkey ...")
    add("--client-api", choices=CLIENT_APIS, help="default: chat, or all that an adapter has")
    add("--provider-api", choices=PROVIDER_APIS, help="default: openai, or all of an adapter's")
    add(
        "--provider-listen",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        help="where the suite plays the provider; port 0 takes a free one",
    )
    add("--model", default="conformance", help="to ask a --target for")
    add(
        "--header",
        action="append",
        default=[],
        type=header,
        metavar="'NAME: VALUE'",
        help="sent to a --target, for instance its API key",
    )
    add(
        "--provider-timeout",
        type=float,
        metavar="SECONDS",
        help="after which a --target gives up on a silent provider; without it the silent cases"
        " are not graded",
    )
    add("--only", metavar="TEXT", help="only trials whose id contains this")
    add("--failed", action="store_true", help="show only rows with a broken promise")
    add("--json", metavar="FILE", type=pathlib.Path, help="write everything here as well")
    add("--markdown", metavar="FILE", type=pathlib.Path, help="write a table of all pairs here")
    arguments = parser.parse_args()
    if not arguments.target and not arguments.adapter:
        parser.error("--target URL or --adapter NAME says what to grade")
    if arguments.target and arguments.adapter:
        parser.error("--target and --adapter exclude each other")
    return arguments


def header(text):
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME: VALUE")
    return name.strip(), value.strip()


def listen(arguments):
    host, _, port = arguments.provider_listen.rpartition(":")
    try:
        return ProviderThread(host, int(port))
    except (OSError, ValueError) as error:
        raise CannotGrade(f"--provider-listen {arguments.provider_listen}: {error}") from None


def chosen_pairs(arguments, adapter):
    """The pairs of APIs to grade, in order."""
    if not adapter:
        return [(arguments.client_api or "chat", arguments.provider_api or "openai")]
    pairs = [
        (client, provider)
        for client, provider in adapter.PAIRS
        if arguments.client_api in (None, client) and arguments.provider_api in (None, provider)
    ]
    if not pairs:
        offered = ", ".join(" on ".join(pair) for pair in adapter.PAIRS)
        raise CannotGrade(f"{arguments.adapter} offers no such pair of APIs, only: {offered}")
    return pairs


def start_gateway(arguments, adapter, setup):
    if adapter:
        return adapter.start(setup)
    return GivenGateway(
        arguments.target, arguments.model, dict(arguments.header), arguments.provider_timeout
    )


def grade_pair(arguments, adapter, provider, pair):
    trials = [t for t in trials_of(*pair) if not arguments.only or arguments.only in t.id]
    with tempfile.TemporaryDirectory(prefix="conformance-") as directory:
        setup = Setup(provider.address, pair[1], trials, pathlib.Path(directory))
        gateway = start_gateway(arguments, adapter, setup)
        try:
            runner = Runner(gateway, provider)
            runner.check_reachable(pair[0])
            print(report.heading(*pair), flush=True)
            return [show(arguments, runner.run(trial)) for trial in trials]
        finally:
            gateway.stop()


def show(arguments, result):
    if not arguments.failed or (result.verdict and not result.verdict.is_kept()):
        print(report.row(result), flush=True)
    return result


def run(arguments):
    adapter = load_adapter(arguments.adapter) if arguments.adapter else None
    pairs = chosen_pairs(arguments, adapter)
    provider = listen(arguments)
    print(f"The suite plays the provider at http://{provider.address}")
    try:
        results = [r for pair in pairs for r in grade_pair(arguments, adapter, provider, pair)]
    finally:
        provider.stop()
    if not results:
        raise CannotGrade(f"no case contains {arguments.only!r}")
    print(report.scores(results))
    write_files(arguments, adapter, results)
    return all(result.verdict is None or result.verdict.is_kept() for result in results)


def write_files(arguments, adapter, results):
    target = arguments.target
    if adapter:
        target = " ".join(filter(None, [arguments.adapter, getattr(adapter, "VERSION", "")]))
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json(target, results), indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(report.as_markdown(target, results))


def main():
    arguments = parse_arguments()
    try:
        sys.exit(0 if run(arguments) else 1)
    except CannotGrade as trouble:
        print(f"conformance: cannot grade: {trouble}", file=sys.stderr)
        sys.exit(2)


main()
