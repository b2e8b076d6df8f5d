"""Fixtures: `programs` for a test that starts its own, `pair` for those that share one.

A module says what its pair is made of by a constant, for instance PAIR = {"gateways": 2}; the keys
are those of support.stack.Pair. The binaries come from CANDOR_BUILD (default build/release).
"""

import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.stack import Pair, Programs  # noqa: E402

LOG_TAIL_LINES = 40
running = []  # the Programs in use, whose logs are shown when a test fails
log_sizes = {}  # how long each log was when the test began


def _programs(directory):
    programs = Programs(directory)
    running.append(programs)
    yield programs
    running.remove(programs)
    programs.stop_all()


def programs_in_use():
    return [program for programs in running for program in programs.started]


@pytest.fixture
def programs(tmp_path):
    yield from _programs(tmp_path)


@pytest.fixture(scope="module")
def shared_programs(tmp_path_factory, request):
    yield from _programs(tmp_path_factory.mktemp(request.module.__name__))


@pytest.fixture(scope="module")
def pair(shared_programs, request):
    return Pair(shared_programs, **getattr(request.module, "PAIR", {}))


@pytest.fixture
def gateway(pair):
    return pair.gateway


@pytest.fixture(scope="session")
def node_modules():
    """The SDKs for Node, which sdk.mjs and sdk_jobs.mjs drive."""
    here = pathlib.Path(__file__).parent
    wanted = json.loads((here / "package.json").read_text())["dependencies"]
    if not all((here / "node_modules" / name).exists() for name in wanted):
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=here,
            check=True,
            timeout=300,
        )
    return here / "node_modules"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    log_sizes.clear()
    log_sizes.update({program: len(program.log()) for program in programs_in_use()})
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for program in programs_in_use():
            new = program.log()[log_sizes.get(program, 0) :]
            tail = "\n".join(new.splitlines()[-LOG_TAIL_LINES:])
            report.sections.append((f"log of {program.name} ({program.log_path})", tail))
    return report
