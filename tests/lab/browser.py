"""One tab of a headless Chromium, driven as a person would: open, look, click, type.

Speaks the Chrome DevTools Protocol over one WebSocket in this thread; nothing runs between calls.
"""

import base64
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

import websocket

from tests.lab.chromium import ChromiumServer
from tests.lab.errors import LabError

_CALL_TIMEOUT_S = 30.0
_LOAD_TIMEOUT_S = 30.0
_WAIT_TIMEOUT_S = 10.0
_POLL_S = 0.05
_LOCATE = """
(selector => {
  const element = document.querySelector(selector);
  if (!element) return {problem: 'there is none'};
  element.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
  const box = element.getBoundingClientRect();
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  if (!box.width || !box.height) return {problem: 'it is not visible'};
  const top = document.elementFromPoint(x, y);
  if (!top || !(element.contains(top) || top.contains(element)))
    return {problem: 'it is covered by ' + (top ? top.outerHTML.slice(0, 80) : 'nothing')};
  return {x, y};
})
"""

Json = dict[str, object]


class Browser:
    """A fresh tab with its own cookies and storage; close it at the end.

    `console_errors` collects what the page reports wrong: failed requests, uncaught exceptions,
    `console.error`. All methods raise LabError when the browser refuses or takes too long.
    """

    def __init__(self, chromium: ChromiumServer) -> None:
        """Open an empty tab in a context of its own."""
        self.console_errors: list[str] = []
        self._socket = websocket.create_connection(
            chromium.websocket_url, timeout=_CALL_TIMEOUT_S, suppress_origin=True
        )
        self._last_id = 0
        self._loaded = False
        self._session_id: str | None = None
        context = self._call("Target.createBrowserContext", disposeOnDetach=True)
        self._context_id = context["browserContextId"]
        target = self._call(
            "Target.createTarget", url="about:blank", browserContextId=self._context_id
        )
        attached = self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session_id = str(attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to `url` and return when the page and what it refers to are loaded."""
        self._loaded = False
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise LabError(f"the browser cannot open {url}: {answer['errorText']}")
        deadline_s = time.monotonic() + _LOAD_TIMEOUT_S
        while not self._loaded:
            if time.monotonic() > deadline_s:
                raise LabError(f"{url} is not loaded after {_LOAD_TIMEOUT_S:g} s")
            self._receive(_POLL_S)

    def evaluate(self, script: str) -> object:
        """Return the value of a JavaScript expression as JSON types; a promise is awaited."""
        answer = self._call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise LabError(f"{_first_line(script)}: {_exception_text(answer)}")
        return cast("Json", answer["result"]).get("value")

    def text(self, selector: str) -> str:
        """Return the visible text of the first element that `selector` finds."""
        found = self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText")
        if not isinstance(found, str):
            raise LabError(f"no element {selector} on {self.evaluate('location.href')}")
        return found

    def wait_for(self, condition: str, timeout_s: float = _WAIT_TIMEOUT_S) -> None:
        """Return once a JavaScript expression is true; it may fail to evaluate until then."""
        deadline_s = time.monotonic() + timeout_s
        guarded = (
            f"(() => {{ try {{ return !!({condition}) }} catch (e) {{ return String(e) }} }})()"
        )
        while (value := self.evaluate(guarded)) is not True:
            if time.monotonic() > deadline_s:
                raise LabError(
                    f"not true after {timeout_s:g} s: {condition} (last: {value}) on "
                    f"{self.evaluate('location.href')}; the page says: "
                    f"{str(self.evaluate('document.body?.innerText'))[:500]}"
                )
            self._receive(_POLL_S)

    def click(self, selector: str) -> None:
        """Scroll to the first element that `selector` finds and click it, if a person could."""
        place = cast("Json", self.evaluate(f"{_LOCATE}({json.dumps(selector)})"))
        if "problem" in place:
            raise LabError(f"cannot click {selector}: {place['problem']}")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self._call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place["x"],
                y=place["y"],
                button=button,
                clickCount=1,
            )

    def type_text(self, selector: str, text: str) -> None:
        """Click an input field and type into it, after what it holds."""
        self.click(selector)
        self._call("Input.insertText", text=text)

    def press_enter(self) -> None:
        """Press the Enter key where the focus is."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self._call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self._call("Input.dispatchKeyEvent", type="keyUp", **key)

    def set_size(self, width_px: int, height_px: int) -> None:
        """Give the page another window size."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=False,
        )

    def set_color_scheme(self, scheme: Literal["light", "dark"]) -> None:
        """Make the page believe that the user prefers light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, *, full_page: bool = False) -> Path:
        """Write what is seen, or the whole page, as PNG to `path`, and return it."""
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=full_page)
        path.write_bytes(base64.b64decode(str(answer["data"])))
        return path

    def close(self) -> None:
        """Close the tab and forget its cookies and storage."""
        try:
            self._session_id = None
            self._call("Target.disposeBrowserContext", browserContextId=self._context_id)
        finally:
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, method: str, **parameters: object) -> Json:
        """Return the result of one protocol command, noting the events that come before it."""
        self._last_id += 1
        message: Json = {"id": self._last_id, "method": method, "params": parameters}
        if self._session_id is not None:
            message["sessionId"] = self._session_id
        self._socket.send(json.dumps(message))
        deadline_s = time.monotonic() + _CALL_TIMEOUT_S
        while time.monotonic() < deadline_s:
            answer = self._receive(_CALL_TIMEOUT_S)
            if answer is None or answer.get("id") != self._last_id:
                continue
            if "error" in answer:
                raise LabError(f"{method}: {cast('Json', answer['error'])['message']}")
            return cast("Json", answer["result"])
        raise LabError(f"{method}: no answer from the browser in {_CALL_TIMEOUT_S:g} s")

    def _receive(self, timeout_s: float) -> Json | None:
        """Return the next message, or None if there is none in time; events are noted."""
        self._socket.settimeout(timeout_s)
        try:
            message = cast("Json", json.loads(self._socket.recv()))
        except websocket.WebSocketTimeoutException:
            return None
        except (OSError, websocket.WebSocketException) as error:
            raise LabError(f"the browser hung up: {error}") from error
        if "method" in message:
            self._note(str(message["method"]), cast("Json", message["params"]))
        return message

    def _note(self, event: str, parameters: Json) -> None:
        if event == "Page.loadEventFired":
            self._loaded = True
        elif event == "Runtime.exceptionThrown":
            self.console_errors.append(_exception_text(parameters))
        elif event == "Runtime.consoleAPICalled" and parameters["type"] in {"error", "assert"}:
            arguments = cast("list[Json]", parameters["args"])
            words = [str(a.get("value", a.get("description", ""))) for a in arguments]
            self.console_errors.append(" ".join(words))
        elif event == "Log.entryAdded":
            entry = cast("Json", parameters["entry"])
            if entry["level"] == "error":
                self.console_errors.append(f"{entry['text']} {entry.get('url', '')}".strip())


def _exception_text(message: Json) -> str:
    details = cast("Json", message["exceptionDetails"])
    exception = cast("Json", details.get("exception", {}))
    return str(exception.get("description", details["text"]))


def _first_line(script: str) -> str:
    return script.strip().splitlines()[0][:120]
