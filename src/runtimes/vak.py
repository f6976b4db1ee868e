"""Calls the tools that the host of this program allows, through /dev/vak.

    import vak
    vak.call("add", a=1, b=2)    # 3
"""

import json
import os

__all__ = ["call", "tools", "Denied", "Error"]


class Error(Exception):
    """A call that did not succeed. `code` says why: "tool-error", "invalid-input", "unknown-tool", …"""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Denied(Error):
    """The policy did not allow the call. It had no effect."""


def tools():
    """The tools that the policy could ever let this program call: dicts with name, description, inputSchema, …"""
    return call("vak.tools")


_device = None


def call(tool, /, **input):
    """Uses a tool and gives its answer; waits until it is there."""
    global _device
    request = json.dumps({"tool": tool, "input": input}, ensure_ascii=False, allow_nan=False)
    if _device is None:
        _device = os.open("/dev/vak", os.O_RDWR)
    data = request.encode() + b"\n"
    while data:
        data = data[os.write(_device, data) :]
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(_device, 65536)
        if not part:
            raise Error("aborted", "the host gave no answer")
        line += part
    answer = json.loads(line)
    if "ok" in answer:
        return answer["ok"]
    error = answer["error"]
    raise (Denied if error["code"] == "denied" else Error)(error["code"], error["message"])
