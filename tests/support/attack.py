"""What tests of hostile clients, providers and peers need: a provider that writes bytes of its own,
and the proof that others are served and memory stays bounded meanwhile."""

import contextlib
import socket
import threading
import time


class RawProvider:
    """Listens, reads each request's head and lets `act(connection)` write what it likes; the
    connection is closed afterwards. What the gateway no longer takes ends `act` with OSError.
    `tls`: the ssl.SSLContext of one that speaks HTTPS."""

    def __init__(self, act, tls=None):
        self._act = act
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._is_over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def base_url(self):
        scheme = "https" if self._tls else "http"
        return f"{scheme}://%s:%d/v1" % self._listener.getsockname()

    def close(self):
        self._is_over.set()
        self._listener.close()

    def is_over(self):
        return self._is_over.is_set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            stack.enter_context(connection)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                stack.enter_context(connection)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            self._act(connection)


class Meanwhile:
    """While the `with` lasts, `call` is made again and again; afterwards, how it went. `memory`: of
    these programs, how far it grew above what it was at the beginning."""

    def __init__(self, call, *programs):
        self._call = call
        self._programs = programs
        self._stopped = threading.Event()
        self.answers = []
        self.error = None
        self._first = {program: program.resident_bytes() for program in programs}
        self.growth = dict.fromkeys(programs, 0)

    def _make_calls(self):
        try:
            while not self._stopped.is_set() or not self.answers:
                self.answers.append(self._call())
                time.sleep(0.02)
        except Exception as error:  # told by the test's own thread
            self.error = error

    def _watch(self):
        while not self._stopped.is_set():
            self._measure()
            time.sleep(0.01)

    def _measure(self):
        for program in self._programs:
            growth = program.resident_bytes() - self._first[program]
            self.growth[program] = max(self.growth[program], growth)

    def __enter__(self):
        self._threads = [threading.Thread(target=f) for f in (self._make_calls, self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._measure()
        if kind is None and self.error:
            raise self.error


@contextlib.contextmanager
def others_are_served(gateway, model, memory_bytes, headers=None):
    """Asserts that `model` is answered all the while, and that the gateway needs no more memory."""
    with Meanwhile(lambda: gateway.chat(model, headers), gateway) as meanwhile:
        yield meanwhile
    assert {reply.status for reply in meanwhile.answers} == {200}, meanwhile.answers
    grown = meanwhile.growth[gateway]
    assert grown < memory_bytes, f"grew by {grown / 1e6:.0f} MB"
