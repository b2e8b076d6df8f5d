"""A provider that misbehaves on command.

  python3 tests/support/fake_provider [--host ADDRESS] [--port N] [--control-port N]
                                      [--script FILE | --demo] [--tls DIRECTORY]

Speaks OpenAI (/v1/chat/completions, completions, embeddings, responses, models), Azure
(/openai/deployments/D/...), Anthropic (/v1/messages) and Gemini
(/v1beta/models/M:generateContent, :streamGenerateContent), all on one port; a first path segment
before those names the provider it plays (/backup/v1/chat/completions is "backup"). Healthy unless
told otherwise by a script file or on the control port: behaviour.py says what it can do, control.py
how to ask for it.

Prints one line when it listens: "listening http=127.0.0.1:8081 control=127.0.0.1:8082", and with
--tls also "tls=", "tls_wrong_name=", "tls_expired=", "tls_refused=" and "ca=" (the file that a
client must trust). Port 0 takes a free one. Ends on SIGTERM and SIGINT.
"""

import argparse
import asyncio
import json
import pathlib
import signal
import sys

import attempts
import authority
import behaviour
import control
import serve
import tls

DEMO = pathlib.Path(__file__).with_name("demo.json")
HOST = "127.0.0.1"


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="fake_provider", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--host", default=HOST, help="where the provider listens; all else: loopback")
    parser.add_argument("--port", type=int, default=0, help="of the provider; 0: a free one")
    parser.add_argument("--control-port", type=int, default=0, help="0: a free one")
    parser.add_argument("--script", type=pathlib.Path, help="JSON: a rule or a list of rules")
    parser.add_argument("--demo", action="store_true", help="the script demo.json beside this file")
    parser.add_argument(
        "--tls",
        type=pathlib.Path,
        metavar="DIRECTORY",
        help="also listen with TLS; certificates are written here",
    )
    return parser.parse_args()


def load_scripts(arguments):
    """The scripts to start with. Raises OSError, or ValueError that says what is wrong."""
    scripts = behaviour.Scripts()
    path = DEMO if arguments.demo else arguments.script
    if path:
        control.load_rules(scripts, json.loads(path.read_text()))
    return scripts


async def listen(serve_connection, port=0, context=None, host=HOST):
    server = await asyncio.start_server(serve_connection, host, port, ssl=context, backlog=1024)
    host, bound_port = server.sockets[0].getsockname()[:2]
    return f"{host}:{bound_port}"


async def listen_tls(provider, broken_tls, directory):
    certificates = authority.Authority(directory)
    return {
        "tls": await listen(provider.serve, context=certificates.server_context("good")),
        "tls_wrong_name": await listen(
            provider.serve, context=certificates.server_context("wrong_name")
        ),
        "tls_expired": await listen(provider.serve, context=certificates.server_context("expired")),
        "tls_refused": await listen(broken_tls.serve),
        "ca": certificates.ca_path,
    }


async def run(arguments, scripts):
    seen = attempts.Attempts()
    broken_tls = tls.BrokenTls()
    holds = attempts.Holds()
    provider = serve.Provider(scripts, seen, holds)
    addresses = {
        "http": await listen(provider.serve, arguments.port, host=arguments.host),
        "control": await listen(
            control.Control(scripts, seen, holds, broken_tls).serve, arguments.control_port
        ),
    }
    if arguments.tls:
        addresses |= await listen_tls(provider, broken_tls, arguments.tls)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print("listening " + " ".join(f"{k}={v}" for k, v in addresses.items()), flush=True)
    await stopped.wait()


def main():
    arguments = parse_arguments()
    try:
        scripts = load_scripts(arguments)
        asyncio.run(run(arguments, scripts))
    except (OSError, ValueError) as error:
        sys.exit(f"fake_provider: {error}")


main()
