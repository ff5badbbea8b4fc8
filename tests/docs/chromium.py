"""A headless Chromium, spoken to over its debugging pipe: opens a page, runs scripts in it, moves the mouse."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 60  # the longest wait for any one answer


def find():
    """The browser's path, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None) if shutil.which("bash") else None


class Browser:
    """One tab. Messages are JSON objects that end in a zero byte; answers carry the id of their question."""

    def __init__(self, send, receive):
        self._send, self._receive = send, receive
        self._asked, self._read = 0, b""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def _ask(self, method, **parameters):
        self._asked += 1
        message = {"id": self._asked, "method": method, "params": parameters}
        if not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._read:
                assert select.select([self._receive], [], [], SECONDS)[0], f"no answer to {method}"
                piece = os.read(self._receive, 2**16)
                assert piece, "the browser has gone"
                self._read += piece
            answer, _, self._read = self._read.partition(b"\0")
            answer = json.loads(answer)
            if answer.get("id") == self._asked:
                return answer["result"]

    def open(self, address, *, width=1300, height=1000):
        """Opens a page in a window of this size and waits until it says that it is ready."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **size)
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=address)
        deadline = time.monotonic() + SECONDS
        # An old page's answer cannot be meant: there was an empty one between.
        while not self._value(expression="document.documentElement?.dataset.ready === 'yes'"):
            assert time.monotonic() < deadline, "the page is not ready"
            time.sleep(0.05)

    def run(self, script, given=None):
        """The result of `script`, the body of an async function of `given`, in the page."""
        return self._value(expression=f"(async (given) => {{ {script} }})({json.dumps(given)})", awaitPromise=True)

    def _value(self, **expression):
        answer = self._ask("Runtime.evaluate", returnByValue=True, **expression)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def drag(self, start, end):
        """Presses the mouse at `start`, moves it to `end` and lets go."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        moves = [("mouseMoved", start), ("mousePressed", start), ("mouseMoved", middle), ("mouseMoved", end)]
        for kind, (x, y) in [*moves, ("mouseReleased", end)]:
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def press(self, key):
        """Presses a key on what has the focus."""
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)


@contextlib.contextmanager
def start(profile):
    """A browser with an empty profile, ended with the block."""
    ours, theirs = zip(os.pipe(), os.pipe()[::-1], strict=True)  # (its input, its output), and our ends
    command = [find(), "--headless", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        command.append("--no-sandbox")  # root has no other way, and the page is ours
    # The browser reads from descriptor 3 and writes to 4, whatever ours are called.
    shell = ["bash", "-c", f'exec "$@" 3<&{ours[0]} 4>&{ours[1]}', "bash", *command]
    process = subprocess.Popen(shell, pass_fds=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for descriptor in ours:
        os.close(descriptor)
    try:
        yield Browser(*theirs)
    finally:
        process.terminate()
        process.wait(SECONDS)
        for descriptor in theirs:
            os.close(descriptor)
