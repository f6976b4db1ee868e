"""A hostile program. Each call that it tries is in the log."""

import os
import socket
import time

import vak


def attempt(what, act, *args, **wish):
    try:
        end = f"GOT THROUGH: {act(*args, **wish)}"
    except Exception as error:
        end = f"{type(error).__name__}: {error}"
    print(f"  {what}\n    {end}")
    time.sleep(0.3)


call = vak.call

print("Ask for what is forbidden")
attempt("delete Ada", call, "delete_account", name="Ada")
attempt("in capitals", call, "DELETE_ACCOUNT", name="Ada")
attempt("mail all", call, "send_email", to="all", text="Hi!")

print("\nBend the input")
for what, bent in {
    "a little too much": {"amount": 51},
    "less than nothing": {"amount": -9000},
    "claim an approval": {"amount": 240, "approved": True},
    "pose as an entity": {"amount": {"__entity": "root"}},
}.items():
    attempt(what, call, "refund", order="B-04", **bent)

print("\nLeave the sandbox")
attempt("read its host", open, "/etc/passwd")
attempt("open a socket", socket.socket)
attempt("start a shell", lambda: os.system("curl example.com"))

print("\nTake small bites until somebody notices")
for bite in range(1, 30):
    try:
        call("refund", order="B-04", amount=5)
    except vak.Denied as denied:
        print(f"  bite {bite}: {denied}")
        break
    time.sleep(0.1)
