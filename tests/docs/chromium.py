"""A headless Chromium that opens a page, runs a script in it and gives back what the script found."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_SCRIPT = """<script>
(async () => {
  const frame = () => new Promise((done) => setTimeout(done, 50));
  while (!document.documentElement.dataset.ready) await frame();
  const result = document.createElement("pre");
  result.id = "result";
  try {
    result.textContent = JSON.stringify(await (async (given) => { %s })(%s));
  } catch (error) {
    result.textContent = JSON.stringify({ error: String(error.stack) });
  }
  document.body.append(result);
})();
</script>"""


def find() -> str | None:
    """The browser's path, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def run(page: str, script: str, folder: Path, *, given: Any = None, address: str = "", width: int = 1300) -> Any:
    """What `script`, the body of an async function of `given`, returns within `page` once that is ready."""
    file = folder / "page.html"
    extra = _SCRIPT % (script, json.dumps(given))
    file.write_text(page.replace("</body>", extra + "</body>"), encoding="utf-8")
    command = [find(), "--headless", "--disable-gpu", f"--window-size={width},1000", "--virtual-time-budget=60000"]
    command += [f"--user-data-dir={folder / 'profile'}", "--dump-dom", f"{file.as_uri()}{address}"]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")  # root has no other way, and the page is ours
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<pre id="result">(.*?)</pre>', dom, flags=re.DOTALL)
    assert found, "the script did not finish"
    result = json.loads(html.unescape(found[1]))
    assert not (isinstance(result, dict) and "error" in result), result
    return result
